"""docs/chart.md: every value of the Helm chart, with its default."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

VALUES = Path(__file__).parents[2] / "deploy/helm/sternpost/values.yaml"
INTRODUCTION = """# Values of the chart

Generated from `deploy/helm/sternpost/values.yaml`. [deploy.md](deploy.md#on-kubernetes) says how to install it;
`settings` takes every setting of [settings.md](settings.md) that is not secret. A name that is not here is refused.

| value | default | meaning |
| --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    text = VALUES.read_text("utf-8")
    values = yaml.safe_load(text)
    rows = ""
    for path, comment in keys(text):
        value: Any = values
        for name in path:
            value = value[name]
        default = "" if isinstance(value, dict) and value else f"`{json.dumps(value)}`"
        if default or comment:
            rows += f"| `{'.'.join(path)}` | {default} | {comment} |\n"
    return INTRODUCTION + rows


def keys(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give the path of each key of a YAML file, with the comment above it."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if note := re.match(r"\s*# ?(.*)", line):
            comment.append(note[1])
        elif key := re.match(r"(\s*)([A-Za-z_][\w-]*):( |$)", line):
            depth = len(key[1])
            path = [(at, name) for at, name in path if at < depth] + [(depth, key[2])]
            yield tuple(name for _, name in path), " ".join(comment).replace("|", "\\|")
            comment = []
        else:
            comment = []
