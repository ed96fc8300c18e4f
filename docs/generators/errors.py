"""docs/errors.md: the codes of dead letters and the exit codes of the program."""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise

import click

import schemas.error_codes
from runtime.errors import SternpostError
from schemas.error_codes import ErrorCode

INTRODUCTION = """# Error codes and exit codes

Generated from [schemas/error_codes.py](../schemas/error_codes.py) and [runtime/errors.py](../runtime/errors.py).

## Codes of dead letters

A body that cannot become an event is a dead letter with one of these in its header `error_code`. People alert and
filter on codes, so none is ever renamed. [Dead letters](tasks/dead-letters.md) says what to do about each.

| code | meaning |
| --- | --- |
"""
EXIT_CODES = """
## Exit codes

| code | meaning | raised as |
| --- | --- | --- |
| 0 | All is well. | |
"""


def render() -> str:
    """Return the page."""
    meanings = dict(_docstrings(schemas.error_codes.__file__ or "", "ErrorCode"))
    codes = "".join(f"| `{code}` | {meanings[code.name]} |\n" for code in ErrorCode)
    exits: dict[int, list[type[SternpostError]]] = {}
    for kind in _kinds(SternpostError):
        exits.setdefault(kind.exit_code, []).append(kind)
    rows = [(code, _first_line(kinds[0]), kinds) for code, kinds in exits.items()]
    rows.append((click.UsageError.exit_code, "The command line is not one: no such command, option or value.", []))
    rows.append((130, "Ctrl-C.", []))
    table = "".join(
        f"| {code} | {meaning} | {', '.join(f'`{kind.__name__}`' for kind in kinds)} |\n"
        for code, meaning, kinds in sorted(rows, key=lambda row: row[0])
    )
    return INTRODUCTION + codes + EXIT_CODES + table


def _kinds(kind: type[SternpostError]) -> Iterator[type[SternpostError]]:
    """Give the errors of runtime/errors.py below one, in the order of the file."""
    for child in kind.__subclasses__():
        if child.__module__ == kind.__module__:
            yield child
            yield from _kinds(child)


def _first_line(kind: type[SternpostError]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _docstrings(file: str, name: str) -> Iterator[tuple[str, str]]:
    """Give the name and the docstring of each member of an enumeration, which Python itself forgets."""
    with open(file, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield ast.unparse(member.targets[0]), " ".join(str(text.value.value).split())
