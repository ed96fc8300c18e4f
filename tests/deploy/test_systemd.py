"""The systemd units."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from sternpost.cli.main import cli
from tests.deploy.tools import DEPLOY, outcome, run, tool

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
BY_NAME = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
MOST_EXPOSED = 2.0
"""By `systemd-analyze security`, from 0 to 10; what nobody hardened has 9.6."""


@BY_NAME
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "sternpost"
    program.write_text("#!/bin/sh\n", "utf-8")
    program.chmod(0o755)
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text("utf-8").replace("/opt/sternpost/bin/sternpost", str(program)), "utf-8")
    result = outcome(tool("systemd-analyze"), "verify", "--man=no", copy)
    said = [line for line in result.stderr.splitlines() if unit.name in line]
    assert (result.returncode, said) == (0, [])


@BY_NAME
def test_the_unit_is_hardened(unit: Path) -> None:
    said = run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED


@BY_NAME
def test_the_unit_starts_a_command_that_there_is(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.+)$", unit.read_text("utf-8"), re.MULTILINE)
    command = shlex.split(line)[-1]
    assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0


@BY_NAME
def test_a_wrong_setting_is_not_tried_again_and_again(unit: Path) -> None:
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.+)$", unit.read_text("utf-8"), re.MULTILINE)
    assert "78" in codes.split()


def test_the_user_is_one_that_sysusers_makes(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    configuration = DEPLOY / "systemd/sternpost.sysusers.conf"
    run(tool("systemd-sysusers"), f"--root={tmp_path}", "--inline", *configuration.read_text("utf-8").splitlines()[1:])
    made = (tmp_path / "etc/passwd").read_text("utf-8")
    for unit in UNITS:
        (user,) = re.findall(r"^User=(.+)$", unit.read_text("utf-8"), re.MULTILINE)
        assert re.search(rf"^{user}:", made, re.MULTILINE)
