"""Has Python take compiled modules in place of their sources, as long as they were compiled from these sources.

`tools/compile.py` puts this into a virtual environment as the package `_sternpost_compiled`, the compiled modules and
`digest` beside it; a .pth file imports it whenever Python starts. What is compiled can so never be older than what was
edited: after an edit Python takes the sources, all of them, until the next `make compile`.

PURE_PYTHON=1 in the environment has it take the sources in any case.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGES = ("schemas", "processor")
"""Compiled modules are from these; a compiled module may hold constants of any module in them."""


def digest(root: Path) -> str:
    """Of all sources that a compiled module may depend on. `root`: the folder that the packages are in."""
    import hashlib

    sources = hashlib.sha256()
    for source in sorted(source for package in PACKAGES for source in (root / package).rglob("*.py")):
        content = source.read_bytes()
        sources.update(f"{source.relative_to(root).as_posix()} {len(content)} ".encode() + content)
    return sources.hexdigest()


class CompiledFinder:
    """On `sys.meta_path`, before the finder of sources."""

    def __init__(self, folder: Path) -> None:
        """`folder`: what `tools/compile.py` built."""
        self._folder = folder
        self._current: bool | None = None
        """Whether the sources are those that were compiled; None until one is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        del target
        package, *rest = name.split(".")
        if package in PACKAGES and path:
            if self._current is None:
                self._current = self._is_current(Path(next(iter(path))), len(rest))
        elif not package.endswith("__mypyc"):  # the library that the compiled modules share
            return None
        file = self._folder.joinpath(*name.split(".")).with_suffix(EXTENSION_SUFFIXES[0])
        if not self._current or not file.exists():
            return None
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, str(file)))

    def _is_current(self, package: Path, depth: int) -> bool:
        if os.environ.get("PURE_PYTHON", "0") not in ("", "0"):
            return False
        return digest(package.parents[depth - 1]) == (self._folder / "digest").read_text()


def install(folder: Path) -> None:
    sys.meta_path.insert(0, CompiledFinder(folder))


if __name__ == "_sternpost_compiled":
    install(Path(__file__).parent)
