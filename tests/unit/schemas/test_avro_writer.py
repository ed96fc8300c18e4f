"""The compiled writer against fastavro: for any schema and any value of it, the same bytes."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.mapping import Mapper
from schemas.avro_writer import Unencodable, compile_writer, varint
from schemas.rejection import Rejection
from schemas.track_event import SCHEMA_FILES, load_schema
from sternpost import samples

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LONG = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(width=32)

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": LONG,
    "float": FLOAT,
    "double": st.floats(),
    "bytes": st.binary(),
    "string": TEXT | st.text("é⚓\0", min_size=1_000, max_size=1_100),
}


class Maker:
    """Draws a schema and a strategy of its values; named types get names of their own."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"N{self.names}"

    def any(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        kinds = [*PRIMITIVES, "fixed", "enum", "time"]
        if depth:
            kinds += ["record", "array", "map", "nullable", "union"]
        kind = self.draw(st.sampled_from(kinds))
        if kind in PRIMITIVES:
            return kind, PRIMITIVES[kind]
        if kind == "fixed":
            size = self.draw(st.integers(0, 5))
            return {"type": "fixed", "name": self.name(), "size": size}, st.binary(min_size=size, max_size=size)
        if kind == "enum":
            symbols = [f"S{i}" for i in range(self.draw(st.integers(1, 70)))]
            return {"type": "enum", "name": self.name(), "symbols": symbols}, st.sampled_from(symbols)
        if kind == "time":
            return {
                "type": "long",
                "logicalType": self.draw(st.sampled_from(["timestamp-millis", "timestamp-micros"])),
            }, LONG
        if kind == "record":
            return self.record(depth - 1)
        inner, values = self.any(depth - 1)
        if kind == "array":
            return {"type": "array", "items": inner}, st.lists(values, max_size=4)
        if kind == "map":
            return {"type": "map", "values": inner}, st.dictionaries(TEXT, values, max_size=4)
        if kind == "union":  # one that has to be left to fastavro
            return ["null", "string", "long"], st.none() | TEXT | LONG
        if inner == "null" or isinstance(inner, list):
            return inner, values
        return self.draw(st.sampled_from([["null", inner], [inner, "null"]])), st.none() | values

    def record(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        fields, values = [], {}
        for index in range(self.draw(st.integers(0, 5))):
            field: dict[str, Any] = {"name": f"f{index}"}
            field["type"], values[field["name"]] = self.any(depth)
            fields.append(field)
        return {"type": "record", "name": self.name(), "fields": fields}, st.fixed_dictionaries(values)


@st.composite
def schemas_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    schema, values = Maker(draw).record(3)
    return schema, draw(st.lists(values, min_size=1, max_size=3))


def by_fastavro(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@settings(max_examples=400, deadline=None)
@given(schemas_and_values())
def test_bytes_equal_fastavros_for_any_schema(drawn: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    schema, values = drawn
    write = compile_writer(schema)
    for value in values:
        assert write(value) == by_fastavro(schema, value)


@given(LONG)
def test_a_varint_is_read_back(number: int) -> None:
    assert (
        fastavro.schemaless_reader(io.BytesIO(varint(number)), fastavro.parse_schema({"type": "long"}), None) == number
    )


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.stem)
def test_every_sample_event_is_written_as_fastavro_writes_it(file: Any) -> None:
    import json

    schema = json.loads(file.read_text("utf-8"))
    write = compile_writer(schema)
    for profile in ("rudderstack", "corrected"):
        mapper = Mapper(profile)
        for payload in samples.one_of_each():
            event = mapper.map(
                json.dumps(payload).encode(), received_at_ms=1_700_000_000_123, request_timestamp_s=1, event_id="x"
            )
            assert write(event) == by_fastavro(schema, event)


def test_the_event_schema_needs_no_fallback() -> None:
    """A type that is not written here would cost most of the speed, silently."""
    assert "_by_fastavro" not in compile_writer(load_schema()).__qualname__


def test_a_record_may_hold_itself() -> None:
    schema = {
        "type": "record",
        "name": "Tree",
        "fields": [
            {"name": "value", "type": "int"},
            {"name": "branches", "type": {"type": "array", "items": "Tree"}},
            {"name": "next", "type": ["null", "Tree"], "default": None},
        ],
    }
    tree = {"value": 1, "branches": [{"value": 2, "branches": []}], "next": {"value": -3, "branches": [], "next": None}}
    assert compile_writer(schema)(tree) == by_fastavro(schema, tree)


def test_absent_fields_take_their_defaults_and_unknown_ones_are_passed_over() -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "a", "type": ["null", "string"], "default": None},
            {"name": "b", "type": "long", "default": 7},
            {"name": "c", "type": {"type": "array", "items": "string"}, "default": []},
            {"name": "d", "type": "string"},
        ],
    }
    write = compile_writer(schema)
    assert write({"d": "x", "e": 1}) == by_fastavro(schema, {"a": None, "b": 7, "c": [], "d": "x"})
    with pytest.raises(Unencodable, match="lacks 'd'"):
        write({})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1),
        ("string", None),
        ("string", b"x"),
        ("string", "\ud800"),
        ("int", 2**31),
        ("int", -(2**31) - 1),
        ("long", 2**63),
        ("long", "1"),
        ("long", True),
        ("long", 1.0),
        ("boolean", 1),
        ("double", "1"),
        ("bytes", "x"),
        ("null", 0),
        (["null", "long"], "x"),
        ({"type": "array", "items": "string"}, "xy"),
        ({"type": "array", "items": "string"}, [None]),
        ({"type": "map", "values": "string"}, [1]),
        ({"type": "map", "values": "string"}, {1: "x"}),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, []),
        ({"type": "fixed", "name": "F", "size": 2}, b"x"),
        ({"type": "record", "name": "I", "fields": []}, 1),
        ({"type": "long", "logicalType": "timestamp-millis"}, "2020"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_field_named(kind: Any, value: Any) -> None:
    write = compile_writer({"type": "record", "name": "R", "fields": [{"name": "field", "type": kind}]})
    with pytest.raises(Unencodable) as caught:
        write({"field": value})
    if value != "\ud800":
        assert "R.field" in str(caught.value)


def test_no_value_is_quoted_where_one_is_refused() -> None:
    write = compile_writer({"type": "record", "name": "R", "fields": [{"name": "field", "type": "long"}]})
    with pytest.raises(Unencodable) as caught:
        write({"field": "someone@example.com"})
    assert "someone" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "event_id", "object_type", "metric", "timestamp"]),
        st.recursive(
            st.none() | st.booleans() | LONG | TEXT | st.floats(allow_nan=False),
            lambda inner: (
                st.dictionaries(
                    st.sampled_from(
                        ["identifiers", "id", "email", "cio_id", "recipient", "recipients", "href", "headers"]
                    ),
                    inner,
                )
                | st.lists(inner, max_size=3)
            ),
            max_leaves=12,
        ),
    )
)
def test_whatever_the_mapping_lets_through_is_encodable(payload: dict[str, Any]) -> None:
    import json

    try:
        event = Mapper("corrected").map(
            json.dumps(payload).encode(), received_at_ms=0, request_timestamp_s=None, event_id="x"
        )
    except Rejection:
        return
    assert compile_writer(load_schema())(event) == by_fastavro(load_schema(), event)
