"""The options before the command: where settings come from. Every `--help` imports this, so it imports little."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import click


@dataclass
class GlobalOptions:
    """The settings file and the settings that the command line overrides."""

    file: Path | None = None
    overrides: dict[str, object] = field(default_factory=dict)
    """Values by dotted setting name."""

    @classmethod
    def parse(cls, file: Path | None, assignments: tuple[str, ...]) -> Self:
        """Read `--config` and each `--set NAME=VALUE`. A value that is a JSON object or array is read as JSON.

        Raises click.UsageError if an assignment has no name or no equals sign.
        """
        overrides: dict[str, object] = {}
        for assignment in assignments:
            name, equals, value = assignment.partition("=")
            if not equals or not name:
                raise click.UsageError(f"--set takes NAME=VALUE, not {name!r}: --set kafka.bootstrap_servers=…")
            overrides[name.strip()] = _parse_value(value)
        return cls(file, overrides)


def _parse_value(text: str) -> object:
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
