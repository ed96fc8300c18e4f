"""The table of the mapping."""

import json

from click.testing import CliRunner

from schemas.mapping import tables
from sternpost.cli.main import cli
from sternpost.operations.mapping import find_rows


def test_without_words_the_whole_mapping_is_there() -> None:
    assert find_rows().events == list(tables.events())
    assert find_rows().fields == list(tables.fields())


def test_a_row_has_to_hold_each_word_in_any_case_in_any_of_its_columns() -> None:
    found = find_rows(["RECIPIENT", "corrected", "phone"])
    assert {row.target for row in found.fields} == {"context.traits.phone", "properties.recipient"}
    assert not found.events
    assert [row.event for row in find_rows(["sms", "clicked"]).events] == ["SMS Link Clicked"]
    assert not any(find_rows(["recipient", "no such word"]))


def test_the_command_prints_them() -> None:
    told = CliRunner().invoke(cli, ["mapping", "data.action_id", "--json"])
    [row] = json.loads(told.stdout)["fields"]
    assert (row["target"], row["sources"], row["profile"]) == ("properties.actionId", ["data.action_id"], "both")
    shown = CliRunner().invoke(cli, ["mapping", "sms", "clicked"]).stdout
    assert "SMS Link Clicked" in shown
    assert CliRunner().invoke(cli, ["mapping", "no such word"]).stderr == "no row of the mapping holds that\n"
