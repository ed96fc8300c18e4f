"""Writes the generated files of deploy/: `make docs`. With --check it only says which are stale.

Each file in deploy/generators/ has a function `files() -> dict[str, str]`: paths below deploy/, and their texts.
"""

import runpy
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent


def files() -> dict[Path, str]:
    """Each generated file and what it is to contain."""
    sys.path.insert(0, str(DEPLOY.parent))
    generators = sorted((DEPLOY / "generators").glob("*.py"))
    return {DEPLOY / path: text for file in generators for path, text in runpy.run_path(str(file))["files"]().items()}


def main() -> int:
    """Exits 1 where --check finds a stale file."""
    check = "--check" in sys.argv
    stale = [(path, text) for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in stale:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        sys.stdout.write(f"{path.relative_to(DEPLOY.parent)}: {'stale, run `make docs`' if check else 'written'}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
