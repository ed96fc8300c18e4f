"""The shell blocks of a page, and what the page says about running them.

A block of `sh` is a list of commands; a block of `console` shows what a terminal shows: commands after `$ ` and their
output, in which `…` stands for anything and a line of it for any lines. An HTML comment right before a block says

- `<!-- not run: REASON -->`: no test runs it, and why;
- `<!-- background until: TEXT -->`: it goes on while the following blocks run, which begin once it has printed TEXT.

Every other block runs, in the order of the page, in one shell's folder and variables, and must end with 0.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt

MARK = re.compile(r"<!-- (?:not run: (?P<reason>.+)|background until: (?P<until>.+)) -->")


@dataclass(frozen=True)
class Block:
    """One shell block of a page."""

    page: Path
    line: int
    kind: str
    content: str
    reason: str | None = None
    """Why it is not run; None if it is."""
    until: str | None = None
    """What it prints once it is up, if it is to run in the background."""

    @cached_property
    def steps(self) -> list[tuple[str, list[str]]]:
        """The commands, each with the lines of output that the page shows."""
        if self.kind == "sh":
            return [(self.content, [])]
        steps: list[tuple[str, list[str]]] = []
        lines = iter(self.content.splitlines())
        for line in lines:
            if not line.startswith("$ "):
                assert steps, f"{self}: output before the first command"
                steps[-1][1].append(line)
                continue
            command = line.removeprefix("$ ")
            while not _is_whole(command):
                command += "\n" + next(lines)
            steps.append((command, []))
        return steps

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Give the shell blocks of a page."""
    mark = None
    for token in MarkdownIt("commonmark").parse(page.read_text("utf-8")):
        if token.type == "html_block":
            mark = MARK.fullmatch(token.content.strip())
        elif token.type == "fence" and token.info in ("sh", "console"):
            line = (token.map or [0])[0] + 1
            found = mark.groupdict() if mark else {}
            yield Block(page, line, token.info, token.content, found.get("reason"), found.get("until"))
            mark = None
        elif token.nesting >= 0 and token.type != "inline":
            mark = None


def matches(expected: list[str], output: str) -> bool:
    """Say whether a command's output is what the page shows."""
    lines = [".*" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) for line in expected]
    pattern = ""
    for line in lines:
        pattern += r"(?:[^\n]*\n)*?" if line == ".*" else line.replace(".*?", r"[^\n]*?") + r"[^\S\n]*\n"
    return re.fullmatch(pattern + r"\s*", output.rstrip() + "\n") is not None


def _is_whole(command: str) -> bool:
    """Say whether a command is complete, rather than continued on the next line."""
    try:
        shlex.split(command)
    except ValueError:  # an open quotation
        return False
    return not command.endswith("\\")
