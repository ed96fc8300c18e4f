"""Compiles the modules that a record passes through, with mypyc: `make compile`.

https://mypyc.readthedocs.io: the same source, typed as it is for mypy, as C extensions. It needs a C compiler and
Python's headers; without them Sternpost runs from its sources, and takes more CPU (docs/performance.md).

`make setup` puts them into the virtual environment (tools/compiled_finder.py says when Python takes them), and
hatch_build.py into a wheel, beside their sources.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MODULES = (
    "processor/pipeline/batch.py",
    "processor/deduplication/deduplicator.py",
    "processor/pipeline/dedup_key.py",
    "processor/pipeline/mapper.py",
    "processor/messages.py",
    "processor/pipeline/pipeline.py",
    "processor/pipeline/records.py",
    "schemas/avro/binary.py",
    "schemas/avro/encoder.py",
    "schemas/avro/event_writer.py",
    "schemas/customerio/event_identity.py",
    "schemas/customerio/lossless_json.py",
    "schemas/customerio/recipient.py",
    "schemas/customerio/timestamps.py",
    "schemas/customerio/coercion.py",
)

LIBRARY = "sternpost"
"""Of what the compiled modules share: the file is called `sternpost__mypyc`."""


class CannotCompileError(Exception):
    """Something is missing that is needed to compile; the text says what."""


def build(target: Path, modules: Sequence[str] = MODULES) -> list[Path]:
    """Compiles the modules into the folder `target`, laid out as the sources are. Gives the files' relative paths.

    Raises CannotCompileError.
    """
    try:
        from mypyc.build import mypycify
        from setuptools import Distribution  # type: ignore[import-untyped]
    except ImportError as error:
        raise CannotCompileError(f"the Python package {error.name} is not installed") from None
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise CannotCompileError("Python's header files are not installed (on Debian the package python3-dev)")
    if shutil.which(os.environ.get("CC", "cc")) is None and shutil.which("gcc") is None:
        raise CannotCompileError("there is no C compiler (on Debian the package gcc)")
    with tempfile.TemporaryDirectory(prefix="sternpost-compile-") as scratch:
        before = Path.cwd()
        os.chdir(ROOT)  # mypyc names modules by their paths from here
        try:
            extensions = mypycify(list(modules), target_dir=scratch, debug_level="0", group_name=LIBRARY)
            command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
            command.build_lib, command.build_temp = str(target), scratch
            command.ensure_finalized()
            command.run()
        except SystemExit as error:  # mypyc's way to say that mypy found a fault
            raise CannotCompileError(f"mypyc failed with exit code {error.code}") from None
        finally:
            os.chdir(before)
    return sorted(file.relative_to(target) for file in target.rglob(f"*{EXTENSION_SUFFIXES[0]}"))


def install() -> None:
    """Compiles into this interpreter's environment. Raises CannotCompileError."""
    from tools import compiled_finder

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
