"""All versions of the event schema can read each other, and the check of this is correct."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.evolution import check_all_versions, incompatibility
from schemas.track_event import SCHEMA_FILES
from tests.support.examples import examples

TYPES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "boolean": st.booleans(),
}
DEFAULTS = {"int": 1, "long": 1, "float": 0.5, "double": 0.5, "string": "x", "boolean": False}


def test_every_version_of_the_event_schema_can_read_every_other() -> None:
    assert check_all_versions(SCHEMA_FILES) == []


def test_a_version_that_breaks_the_promise_is_found_in_both_directions(tmp_path: Path) -> None:
    for number, fields in enumerate(
        [
            [{"name": "a", "type": "string"}],
            [{"name": "a", "type": "string"}, {"name": "b", "type": ["null", "long"], "default": None}],
            [{"name": "b", "type": ["null", "long"], "default": None}],
        ],
        start=1,
    ):
        text = json.dumps({"type": "record", "name": "R", "fields": fields})
        (tmp_path / f"r.v{number}.avsc").write_text(text)
    files = sorted(tmp_path.iterdir())
    assert check_all_versions(files[:2]) == []
    assert [message.partition(":")[0] for message in check_all_versions(files)] == [
        "r.v1.avsc cannot read what was written with r.v3.avsc",
        "r.v2.avsc cannot read what was written with r.v3.avsc",
    ]


@st.composite
def versions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], st.SearchStrategy[Any]]:
    """Draw two record schemas whose fields partly agree, and values of the second."""
    both: list[list[dict[str, Any]]] = [[], []]
    values = {}
    for name in "abc":
        for version in (0, 1):
            if draw(st.booleans()):
                kind = draw(st.sampled_from(sorted(TYPES)))
                form = draw(st.sampled_from(["plain", "default", "nullable", "array"]))
                field: dict[str, Any] = {"name": name, "type": kind}
                value = TYPES[kind]
                if form == "default":
                    field["default"] = DEFAULTS[kind]
                elif form == "nullable":
                    field |= {"type": ["null", kind], "default": None}
                    value = st.none() | value
                elif form == "array":
                    field["type"] = {"type": "array", "items": kind}
                    value = st.lists(value, max_size=3)
                both[version].append(field)
                if version:
                    values[name] = value
    reader, writer = ({"type": "record", "name": "R", "fields": fields} for fields in both)
    return reader, writer, st.fixed_dictionaries(values)


@settings(max_examples=examples(3), deadline=None)
@given(versions(), st.data())
def test_what_counts_as_readable_is_read(
    drawn: tuple[dict[str, Any], dict[str, Any], st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    reader, writer, values = drawn
    if incompatibility(reader, writer):
        return
    encoded = io.BytesIO()
    fastavro.schemaless_writer(encoded, fastavro.parse_schema(writer), data.draw(values))
    encoded.seek(0)
    read = fastavro.schemaless_reader(encoded, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    assert isinstance(read, dict)
    assert set(read) == {field["name"] for field in reader["fields"]}
