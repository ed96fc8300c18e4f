"""GitHub's workflows: what actionlint and zizmor find in them, and that every action is pinned."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
TOOLS = ROOT / ".venv/site/bin"


def test_actionlint_finds_nothing() -> None:
    if not (program := shutil.which("actionlint", path=TOOLS)):
        pytest.skip("actionlint is not here; `make site-test` installs it if go is")
    done = subprocess.run([program, *WORKFLOWS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing() -> None:
    command: list[str | Path] = [TOOLS / "zizmor", "--offline", "--quiet", *WORKFLOWS, ROOT / ".github/dependabot.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_and_rights_are_named(file: Path) -> None:
    text = file.read_text("utf-8")
    used = re.findall(r"uses: (.+)", text)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), f"{action}: pin it by digest"
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"], f"{name} does not say what it may do"
        assert job["timeout-minutes"] <= 60


def test_ci_runs_every_python_that_the_project_names() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text("utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert len(matrix["runner"]) == 2
