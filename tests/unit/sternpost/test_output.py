"""What commands print."""

import json
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
