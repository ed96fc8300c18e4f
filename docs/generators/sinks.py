"""Shows in docs/sinks.md the files that `make sinks` runs: a code block with a title is the file of that name."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r'^(```\w+ title="([^"]+)"\n).*?^```$', re.MULTILINE | re.DOTALL)


def render() -> str:
    """Return the page with its code blocks brought up to date."""
    page = (DOCS / "sinks.md").read_text("utf-8")
    return BLOCK.sub(lambda block: f"{block[1]}{(DOCS / block[2]).read_text('utf-8').rstrip()}\n```", page)
