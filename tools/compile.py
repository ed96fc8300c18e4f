"""Compiles the modules of the hot path with mypyc: `make compile`.

mypyc (https://mypyc.readthedocs.io) turns the typed source into C extensions. It needs a C compiler and Python's
headers. Without them Sternpost runs from its sources, and uses more CPU (docs/performance.md).

`make setup` installs the compiled modules into the virtual environment (tools/compiled_finder.py decides when Python
imports them), and hatch_build.py puts them into a wheel beside their sources.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from tools import compiled_finder

ROOT = Path(__file__).resolve().parents[1]

MODULES = (
    "processor/deduplication/deduplicator.py",
    "processor/pipeline/mapper.py",
    "processor/pipeline/pipeline.py",
    "processor/pipeline/records.py",
    "schemas/avro/encoder.py",
    "schemas/customerio/event_identity.py",
    "schemas/customerio/lossless_json.py",
)

LIBRARY = "sternpost"
"""The name of the library that the compiled modules share; its file is `sternpost__mypyc`."""


class CannotCompileError(Exception):
    """Compiling needs something that is missing. The text names it."""


def build(target: Path, modules: Sequence[str] = MODULES) -> list[Path]:
    """Compile the modules into the folder `target`, laid out like the sources, and return the files' relative paths.

    Raises CannotCompileError.
    """
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 (an extra)
        from setuptools import Distribution  # type: ignore[import-untyped]  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise CannotCompileError(f"the Python package {error.name} is not installed") from None
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise CannotCompileError("Python's header files are not installed (on Debian the package python3-dev)")
    if shutil.which(os.environ.get("CC", "cc")) is None and shutil.which("gcc") is None:
        raise CannotCompileError("there is no C compiler (on Debian the package gcc)")
    with tempfile.TemporaryDirectory(prefix="sternpost-compile-") as scratch:
        before = Path.cwd()
        os.chdir(ROOT)  # mypyc derives module names from paths relative to here
        try:
            extensions = mypycify(list(modules), target_dir=scratch, debug_level="0", group_name=LIBRARY)
            command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
            command.build_lib, command.build_temp = str(target), scratch
            command.ensure_finalized()
            command.run()
        except SystemExit as error:  # how mypyc reports errors that mypy found
            raise CannotCompileError(f"mypyc failed with exit code {error.code}") from None
        finally:
            os.chdir(before)
    return sorted(file.relative_to(target) for file in target.rglob(f"*{EXTENSION_SUFFIXES[0]}"))


def install() -> None:
    """Compile into this interpreter's environment. Raises CannotCompileError."""
    site = Path(sysconfig.get_path("purelib"))
    package, start = site / "_sternpost_compiled", site / "_sternpost_compiled.pth"
    shutil.rmtree(package, ignore_errors=True)
    start.unlink(missing_ok=True)
    digest = compiled_finder.digest(ROOT)
    with tempfile.TemporaryDirectory(dir=site, prefix="_sternpost_compiled-") as building:
        build(Path(building))
        Path(building, "digest").write_text(digest)
        shutil.copy(compiled_finder.__file__, Path(building, "__init__.py"))
        shutil.copytree(building, package)
    start.write_text("import _sternpost_compiled\n")


if __name__ == "__main__":
    try:
        install()
    except CannotCompileError as reason:
        sys.stderr.write(f"Sternpost runs from its sources, not compiled: {reason}\n")
