"""The command line: help, options, errors and exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sternpost.cli import main as main_module
from sternpost.cli.main import COMMANDS, cli, main
from tests.support.waiting import PATIENCE_S

PROGRAM = str(Path(sys.executable).with_name("sternpost"))


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STERNPOST_")}
    return subprocess.run(
        [PROGRAM, *arguments], check=False, env=clean | environment, capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert re.search(r"^  \w", result.output.split("Usage:")[1], re.MULTILINE), "no description"


def test_every_file_of_a_command_is_in_the_table() -> None:
    files = Path(main_module.__file__).parent.glob("*.py")
    commands = {file.stem.replace("_", "-") for file in files if "\ndef command(" in file.read_text("utf-8")}
    assert commands == set(COMMANDS)


def test_help_imports_none_of_the_heavy_libraries() -> None:
    heavy = ("confluent_kafka", "fastavro", "pydantic", "granian", "rocksdict", "rich", "orjson")
    code = (
        "import sys; from sternpost.cli.main import cli; cli(['--help'], standalone_mode=False); "
        f"sys.exit(' '.join(name for name in {heavy!r} if name in sys.modules) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_an_error_of_ours_is_one_message_and_its_exit_code() -> None:
    result = run("config", STERNPOST_INGEST__PORT="x")
    assert result.returncode == 78
    assert result.stderr.startswith("error: ingest.port (from STERNPOST_INGEST__PORT)")
    assert "Traceback" not in result.stderr


def test_misuse_is_explained() -> None:
    assert run("confog").returncode == 2
    result = run("--set", "ingest.port", "config")
    assert result.returncode == 2
    assert "NAME=VALUE" in result.stderr


def test_set_reaches_any_setting_and_config_says_so() -> None:
    result = run("--set", "ingest.port=99", "--set", 'kafka.properties={"client.rack": 1}', "config", "--json")
    assert '"ingest.port":{"value":99,"source":"command line"}' in result.stdout
    assert '{"client.rack":"1"}' in result.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([PROGRAM, "config", "--json"], check=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


PAYLOAD = b'{"event_id":"a","metric":"sent","object_type":"email","timestamp":1,"data":{"customer_id":"1"}}\n'


@pytest.mark.parametrize("command", ["--help", "config", "config --json", "transform"])
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "| true", "| head -n 1 >/dev/null"])
def test_an_output_that_takes_nothing_ends_without_a_traceback(command: str, redirection: str, tmp_path: Path) -> None:
    (tmp_path / "payloads").write_bytes(PAYLOAD * 1_000)
    result = subprocess.run(
        ["sh", "-c", f"{PROGRAM} {command} <payloads {redirection}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=tmp_path,
    )
    full = "error: standard output cannot be written to (No space left on device)"
    assert result.stderr.startswith(full) if "full" in redirection else result.stderr == ""
    assert result.stderr.count("\n") <= 1
    assert result.returncode == (1 if "full" in redirection else 0)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def test_an_error_that_cannot_be_shown_keeps_its_exit_code(redirection: str) -> None:
    result = subprocess.run(["sh", "-c", f"{PROGRAM} --set ingest.port=x config {redirection}"], check=False)
    assert result.returncode == 78


def test_a_missing_kafka_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sternpost.operations.topics.TIMEOUT_S", 1)
    monkeypatch.setattr("sys.argv", ["sternpost", "--set=kafka.bootstrap_servers=127.0.0.1:1", "topics", "check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 69
    error = capsys.readouterr().err
    assert "no Kafka broker at 127.0.0.1:1 answers" in error
    assert "Traceback" not in error
