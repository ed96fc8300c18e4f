"""What a build of the wheel asks its front end for."""

import tomllib
from pathlib import Path

import hatchling.build
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]


def test_an_isolated_build_has_what_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip shows no warning of a build without `-v`: without these, it would install uncompiled and say nothing."""
    monkeypatch.chdir(ROOT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = {*project["build-system"]["requires"], *hatchling.build.get_requires_for_build_wheel()}
    assert set(project["dependency-groups"]["build"]) <= asked
    needed = {Requirement(each).name for each in project["project"]["dependencies"]}
    assert needed <= {Requirement(each).name for each in asked}, "mypy finds no types of what is not installed"
