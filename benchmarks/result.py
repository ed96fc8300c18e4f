"""The measurements, summarized over runs, as a table and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from processor.service import COMPILED


@dataclass(frozen=True)
class Result:
    """One run of one program in one case."""

    benchmark: str
    subject: str
    case: dict[str, int]
    figures: dict[str, float]
    """By name, the unit in the name."""


@dataclass(frozen=True)
class Summary:
    """All runs of one program in one case."""

    benchmark: str
    subject: str
    case: dict[str, int]
    runs: int
    figures: dict[str, tuple[float, float, float]]
    """Median, least and most."""


def summarise(results: Sequence[Result]) -> list[Summary]:
    """In the order in which the cases were first met."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(json.dumps([result.benchmark, result.subject, result.case]), []).append(result)
    summaries = []
    for runs in grouped.values():
        figures = {}
        for name in runs[0].figures:
            values = [run.figures[name] for run in runs]
            figures[name] = (statistics.median(values), min(values), max(values))
        summaries.append(Summary(runs[0].benchmark, runs[0].subject, runs[0].case, len(runs), figures))
    return summaries


def machine() -> dict[str, Any]:
    """Return a description of the machine and of its load before the measurement."""
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "compiled": COMPILED,
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def table(summaries: Sequence[Summary]) -> str:
    """Markdown: a table for each benchmark, a line for each case; the spread in brackets."""
    blocks = []
    for benchmark in dict.fromkeys(summary.benchmark for summary in summaries):
        rows = [summary for summary in summaries if summary.benchmark == benchmark]
        case, figures = list(rows[0].case), list(rows[0].figures)
        lines = [_row(["program", *case, *figures]), _row(["---"] * (1 + len(case) + len(figures)))]
        for row in rows:
            values = [_figure(*row.figures[name], row.runs) for name in figures]
            lines.append(_row([row.subject, *map(str, row.case.values()), *values]))
        blocks.append(f"{benchmark}, medians of {rows[0].runs} run(s)\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def write(file: Path, results: Sequence[Result], before: dict[str, Any]) -> None:
    """Everything, as JSON; `before` is the machine as it was at the start."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "machine": before,
        "summaries": [vars(summary) for summary in summarise(results)],
        "results": [vars(result) for result in results],
    }
    file.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(median: float, least: float, most: float, runs: int) -> str:
    return _number(median) if runs == 1 or least == most else f"{_number(median)} ({_number(least)}-{_number(most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 or value == int(value) else f"{value:.3g}"
