"""`sternpost transform` in a pipe."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("sternpost"))
GOOD = b'{"event_id":"e","object_type":"email","metric":"sent","timestamp":1,"data":{"customer_id":"42"}}'


def test_with_strict_dead_letters_are_a_failure() -> None:
    result = subprocess.run([PROGRAM, "transform", "--strict"], input=b"{}\n" + GOOD, check=False, capture_output=True)
    assert result.returncode == 1
    assert result.stderr == b"error: 1 of 2 payloads became dead letters; --explain says why\n"


def test_each_line_is_answered_at_once() -> None:
    with subprocess.Popen([PROGRAM, "transform"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for _ in range(2):
            program.stdin.write(GOOD + b"\n")
            program.stdin.flush()
            assert json.loads(program.stdout.readline())["outcome"] == "event"
        program.stdin.close()


def test_a_reader_that_goes_away_is_no_crash() -> None:
    with subprocess.Popen(
        [PROGRAM, "transform"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        program.stdin.write(GOOD + b"\n")
        program.stdin.close()
        assert program.stderr.read() == b""
        assert program.wait() != 0
