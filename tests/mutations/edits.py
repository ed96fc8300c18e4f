"""A copy of the product with exact pieces of its text replaced."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "runtime", "ingest", "processor", "sternpost")


class Edit(NamedTuple):
    """One replacement in a file. Its text must be there exactly once."""

    file: str
    text: str
    replacement: str


class StaleEditError(Exception):
    """The text of an edit is not in its file, or is there more than once: the product has changed."""


def edited(edits: Iterable[Edit], root: Path = ROOT) -> dict[str, str]:
    """Return the text of each edited file. Raises StaleEditError."""
    files: dict[str, str] = {}
    for edit in edits:
        before = files.get(edit.file) or (root / edit.file).read_text("utf-8")
        if (times := before.count(edit.text)) != 1:
            raise StaleEditError(f"{edit.file} has this {times} times, and not once:\n{edit.text}")
        files[edit.file] = before.replace(edit.text, edit.replacement)
    return files


def copy_tree(target: Path, edits: Iterable[Edit]) -> None:
    """Copy what runs in production, and the breakpoints, into a new folder. Raises StaleEditError."""
    files = edited(edits)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package)  # with its bytecode, if it has any
    shutil.copy(Path(__file__).with_name("breakpoints.py"), target)
    for file, text in files.items():
        (target / file).write_text(text, "utf-8")
