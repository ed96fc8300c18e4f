"""Writes the pages of docs/ that are generated: `make docs`. With --check it only says which are stale.

Each file in docs/generators/ has a function `render() -> str` that gives the page of the same name.
"""

import runpy
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def pages() -> dict[Path, str]:
    """Each generated page and what it is to contain."""
    generators = sorted((DOCS / "generators").glob("*.py"))
    return {DOCS / f"{file.stem}.md": runpy.run_path(str(file))["render"]() for file in generators}


def main() -> int:
    """Exits 1 where --check finds a stale page."""
    stale = [(page, text) for page, text in pages().items() if not page.exists() or page.read_text("utf-8") != text]
    for page, text in stale:
        if "--check" not in sys.argv:
            page.write_text(text, "utf-8")
        sys.stdout.write(f"{page.name}: {'stale, run `make docs`' if '--check' in sys.argv else 'written'}\n")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
