"""Draw a soak's samples as one picture: `python -m tests.soak.curves build/soak docs/images/soak.svg`."""

import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

MINUTE = 60
ELDERS = ("ingest-1", "processor-9")
"""The services that live as long as the run."""

Rows = list[dict[str, str]]


def rows(file: Path) -> Rows:
    """Read a table with a header."""
    with file.open() as lines:
        return list(csv.DictReader(lines))


def numbers(table: Rows, column: str) -> list[float]:
    """Return a column."""
    return [float(row[column]) for row in table]


def minutes(table: Rows) -> list[float]:
    """Return the times of a table's rows."""
    return [seconds / MINUTE for seconds in numbers(table, "seconds")]


def per_second(table: Rows, column: str) -> list[float]:
    """Return how fast a counter grew up to each row."""
    counts, seconds = numbers(table, column), numbers(table, "seconds")
    pairs = zip(counts, [0.0, *counts], seconds, [0.0, *seconds], strict=False)
    return [(count - before) / max(time - earlier, 1) for count, before, time, earlier in pairs]


def draw(folder: Path, picture: Path) -> None:
    """Draw flow, what waits, memory, descriptors with threads, and disk, one below the other, with the faults."""
    flow, faults = rows(folder / "flow.csv"), rows(folder / "faults.csv")
    processes: dict[str, Rows] = defaultdict(list)
    for row in rows(folder / "processes.csv"):
        processes[row["process"]].append(row)
    plt.rcParams.update({"svg.hashsalt": "soak", "font.size": 8, "svg.fonttype": "none"})
    figure, axes = plt.subplots(5, 1, sharex=True, figsize=(9, 11), layout="constrained")
    rate, waiting, memory, handles, disk = axes
    rate.plot(minutes(flow), per_second(flow, "acknowledged"), label="acknowledged")
    rate.plot(minutes(flow), per_second(flow, "events"), label="events", linewidth=0.8)
    waiting.plot(minutes(flow), numbers(flow, "behind"), label="acknowledged, not out yet")
    for name in ELDERS:
        table = processes[name]
        memory.plot(minutes(table), numbers(table, "memory_mb"), label=name)
        handles.plot(minutes(table), numbers(table, "descriptors"), label=f"{name}: descriptors")
        handles.plot(minutes(table), numbers(table, "threads"), label=f"{name}: threads", linestyle="--")
    disk.plot(minutes(flow), numbers(flow, "disk_mb"), label="brokers, state and logs")
    titles = ["records a second", "records", "memory, MB", "descriptors and threads", "disk, MB"]
    for axis, title in zip(axes, titles, strict=True):
        label(axis, title, [float(row["seconds"]) / MINUTE for row in faults])
    disk.set_xlabel("minutes; a grey line is a fault or a rolling restart")
    figure.savefig(picture, metadata={"Date": None})


def label(axis: Axes, title: str, faults: Sequence[float]) -> None:
    """Name an axis, begin it at 0, and mark the faults."""
    axis.set_ylabel(title)
    axis.set_ylim(bottom=0)
    axis.legend(loc="lower right", fontsize=7)
    for minute in faults:
        axis.axvline(minute, color="0.85", linewidth=0.6, zorder=0)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
