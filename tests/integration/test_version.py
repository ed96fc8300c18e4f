"""The version comes from git's tags; a tree without git's data has the one that it is given, or 0.0.0."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def version(folder: Path, **environment: str) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SETUPTOOLS_SCM")}
    command = [sys.executable, "-m", "hatchling", "version"]
    done = subprocess.run(
        command, cwd=folder, env={**variables, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_without_gits_data_it_is_zero(tree: Path) -> None:
    assert version(tree) == "0.0.0"


def test_the_image_is_given_its_version(tree: Path) -> None:
    named = re.search(r"RUN (\w+)=\$VERSION ", (ROOT / "deploy/Dockerfile").read_text("utf-8"))
    assert named
    assert version(tree, **{named[1]: "1.2.3rc1"}) == "1.2.3rc1"


def test_a_tag_is_the_version_and_commits_after_it_count_up(tree: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@localhost")
        subprocess.run(["git", *who, *arguments], cwd=tree, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    git("tag", "v1.2.3")
    assert version(tree) == "1.2.3"
    git("commit", "--quiet", "--allow-empty", "--message=two")
    assert version(tree) == "1.2.4.dev1"
