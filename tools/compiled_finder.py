"""Makes Python import compiled modules in place of their sources, as long as they were compiled from these sources.

`tools/compile.py` installs this file into a virtual environment as the package `_sternpost_compiled`, together with the
compiled modules and their `digest`. A .pth file imports the package whenever Python starts. Compiled modules are never
older than the sources: after an edit Python imports all modules from the sources until the next `make compile`.

With PURE_PYTHON=1 in the environment Python always imports the sources.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGES = ("schemas", "processor")
"""The packages of the compiled modules. A compiled module may contain constants of any module in them."""


def digest(root: Path) -> str:
    """Return the digest of all sources that a compiled module may depend on; `root` contains the packages."""
    import hashlib  # noqa: PLC0415 (this module is imported at every start of Python)

    sources = hashlib.sha256()
    for source in sorted(source for package in PACKAGES for source in (root / package).rglob("*.py")):
        content = source.read_bytes()
        sources.update(f"{source.relative_to(root).as_posix()} {len(content)} ".encode() + content)
    return sources.hexdigest()


class CompiledFinder:
    """A finder on `sys.meta_path` before the one for sources: https://docs.python.org/3/reference/import.html."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that `tools/compile.py` built."""
        self._folder = folder
        self._current: bool | None = None
        """Whether the sources are those that were compiled; None until one is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a compiled module, or None to leave the module to other finders."""
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
    """Put a finder of the compiled modules in `folder` first."""
    sys.meta_path.insert(0, CompiledFinder(folder))


if __name__ == "_sternpost_compiled":
    install(Path(__file__).parent)
