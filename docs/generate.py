"""Write the generated pages of docs/: `make docs`. With --check, only say which are stale.

Each file in docs/generators/ has a function `render() -> str` that returns the page of the same name.
"""

import runpy
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def pages() -> dict[Path, str]:
    """Return the generated pages and the text that each should have."""
    generators = sorted((DOCS / "generators").glob("*.py"))
    return {DOCS / f"{file.stem}.md": runpy.run_path(str(file))["render"]() for file in generators}


def main() -> int:
    """Write the stale pages, or with --check list them; return 1 if --check found any."""
    stale = [(page, text) for page, text in pages().items() if not page.exists() or page.read_text("utf-8") != text]
    for page, text in stale:
        if "--check" not in sys.argv:
            page.write_text(text, "utf-8")
        sys.stdout.write(f"{page.name}: {'stale, run `make docs`' if '--check' in sys.argv else 'written'}\n")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
