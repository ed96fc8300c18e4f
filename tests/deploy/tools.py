"""The programs that check deploy/, and the repository that they check."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "sternpost"
PYTHON_BIN = Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv")) / "bin"
TOOLS = ROOT / ".venv" / "deploy"
"""Where install_tools.sh puts what it installs."""

REQUIRED_VARIABLE = "STERNPOST_DEPLOY_TOOLS_REQUIRED"


def project_version() -> str:
    """The version that git's tags give the project, as deploy/build-image takes it."""
    return run(PYTHON_BIN / "python", "-m", "hatchling", "version").splitlines()[-1]


def tool(name: str) -> str:
    """A program's path. Skip the test if it is not here, or fail it if STERNPOST_DEPLOY_TOOLS_REQUIRED is set."""
    for folder in (TOOLS / "bin", PYTHON_BIN):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        absent(name)
    return found or ""


def absent(what: str) -> None:
    """Say that something is not here that the test needs."""
    message = f"{what} is not here; `make deploy-test` installs it where it can"
    if os.environ.get(REQUIRED_VARIABLE):
        pytest.fail(message)
    pytest.skip(message)


def run(
    *command: object, environment: Mapping[str, str] | None = None, timeout_s: float = 600, text: str | None = None
) -> str:
    """A program's standard output. Fails the test with what it said if it exits with another code than 0."""
    result = outcome(*command, environment=environment, timeout_s=timeout_s, text=text)
    assert result.returncode == 0, (
        f"{command[0]} exits {result.returncode}: {result.stdout[-6000:]}{result.stderr[-6000:]}"
    )
    return result.stdout


def outcome(
    *command: object, environment: Mapping[str, str] | None = None, timeout_s: float = 600, text: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """A program's exit code and what it said."""
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        input=text,
        timeout=timeout_s,
        env={**os.environ, **(environment or {})},
    )
