"""The form of log lines."""

import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENCE_S

PROGRAM = """
import logging, sys, structlog
from runtime.logs import configure
from runtime.settings.model import LogSettings
configure(LogSettings(**{log!r}), service="ingest", worker=1)
log = structlog.get_logger()
log.debug("quiet")
log.info("batch committed", events=10)
logging.getLogger("kafka").warning("broker %s is down", "b1")
logging.getLogger("other").info("chatter")
try:
    secret = "hu" + "sh"
    raise ValueError("a fault")
except ValueError:
    log.exception("crashed")
"""
RAISING = """
import gc, structlog
from runtime import logs
from runtime.settings.model import LogSettings

class Raising:
    def __init__(self):
        self.itself = self

    def __del__(self):
        raise ValueError("a finalizer's fault")

logs.configure(LogSettings(format="json"))
logs.take_over_streams()
gc.set_threshold(50, 2, 2)
log = structlog.get_logger()
for _ in range(2_000):
    Raising()
    log.info("line")
log.info("end")
logs._stream().drain(60)
"""
ROOT = Path(__file__).parents[2]


def lines(stderr: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines()]


def run(**log: str) -> bytes:
    result = subprocess.run([sys.executable, "-c", PROGRAM.format(log=log)], check=True, capture_output=True, cwd=ROOT)
    assert result.stdout == b""  # standard output is for results
    return result.stderr


def test_elsewhere_than_on_a_terminal_each_event_is_one_line_of_json() -> None:
    committed, broker, crashed = lines(run())
    assert committed["event"] == "batch committed"
    assert (committed["events"], committed["level"], committed["service"], committed["worker"]) == (
        10,
        "info",
        "ingest",
        1,
    )
    assert committed["timestamp"].endswith("Z")
    assert (broker["event"], broker["level"], broker["logger"]) == ("broker b1 is down", "warning", "kafka")
    assert "ValueError: a fault" in crashed["exception"]


def test_a_traceback_shows_no_values() -> None:
    for output in (run(format="json"), run(format="console")):
        assert b"a fault" in output
        assert b"hush" not in output


def test_the_level_is_a_bound_for_our_own_lines() -> None:
    assert lines(run(level="debug"))[0]["event"] == "quiet"
    assert [line["event"] for line in lines(run(level="error"))] == ["crashed"]


def test_what_a_finalizer_raises_while_a_line_is_written_is_logged() -> None:
    """Often: the garbage collector is made to run all the time."""
    ran = subprocess.run(
        [sys.executable, "-c", RAISING], check=True, capture_output=True, cwd=ROOT, timeout=2 * PATIENCE_S
    )
    found = [line["event"] for line in lines(ran.stderr)]
    assert {"line", "exception ignored", "end"} <= set(found)


def test_on_a_terminal_lines_are_for_people() -> None:
    main, side = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", PROGRAM.format(log={})], stderr=side, cwd=ROOT) as process:
        os.close(side)
        output = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:  # the other side is closed
                break
            output += chunk
        assert process.wait() == 0
    os.close(main)
    assert b"batch committed" in output
    with pytest.raises(json.JSONDecodeError):
        json.loads(output.splitlines()[0])


def test_configuring_leaves_no_second_handler() -> None:
    from runtime.logs import configure
    from runtime.settings.model import LogSettings

    before = logging.getLogger().handlers[:]
    try:
        configure(LogSettings())
        configure(LogSettings())
        assert len(logging.getLogger().handlers) == 1
    finally:
        logging.getLogger().handlers[:] = before
