"""What commands print."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from sternpost.cli import output


@pytest.mark.parametrize("items", [0, 1, 999, 1_000, 1_001, 2_500])
def test_an_object_with_a_long_list_is_printed_as_if_it_were_held(
    items: int, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [{"n": number, "text": "a\x1b[31m\u202eb"} for number in range(items)]
    output.echo_json({"id": "x", "complete": True, "records": listed})
    whole = capsys.readouterr().out
    output.echo_json_with_list({"id": "x", "complete": True}, "records", iter(listed))
    assert capsys.readouterr().out == whole
    assert len(json.loads(whole)["records"]) == items


def test_a_long_list_is_not_held(capsys: pytest.CaptureFixture[str]) -> None:
    printed_before: list[bool] = []

    def items() -> Iterator[int]:
        yield from range(5_000)
        printed_before.append(bool(capsys.readouterr().out))

    output.echo_json_with_list({"id": "x"}, "numbers", items())
    assert printed_before == [True]


def test_a_command_that_is_stopped_goes_on_if_nobody_reads_what_it_says() -> None:
    reads, writes = os.pipe()
    stderr = os.dup(2)
    os.close(reads)
    try:
        os.dup2(writes, 2)  # as `2>&1 | tee log` leaves it, since Ctrl-C ends `tee` too
        with output.graceful_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert interrupted.is_set()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(writes)
