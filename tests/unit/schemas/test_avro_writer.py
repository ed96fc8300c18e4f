"""The compiled writer against fastavro: for any schema and any value of it, the same bytes."""

import enum
import io
import itertools
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.mapping import CONSTANTS, Mapper
from schemas import avro_compiler, avro_numbers, avro_shapes, avro_writer
from schemas.avro_numbers import varint
from schemas.avro_writer import Unencodable, Writer
from schemas.paths import nested
from schemas.rejection import Rejection
from schemas.track_event import SCHEMA_FILES, load_schema
from sternpost import samples

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LONG = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(width=32)
TIME = {"type": "long", "logicalType": "timestamp-millis"}
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))

WRITE = Writer(load_schema())
WRITE_FLAT = Writer(load_schema(), CONSTANTS)

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


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["f0", "f1", "x"]), inner, max_size=3),
    max_leaves=6,
)


class Maker:
    """Draws a schema and a strategy of its values; named types get names of their own, and are referred to again."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.named: list[tuple[str, st.SearchStrategy[Any]]] = []
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"N{self.names}"

    def keep(self, schema: dict[str, Any], values: st.SearchStrategy[Any]) -> tuple[Any, st.SearchStrategy[Any]]:
        self.named.append((f"space.{schema['name']}", values))
        return schema, values

    def any(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        kinds = [*PRIMITIVES, "fixed", "enum", "time"]
        if self.named:
            kinds += ["again"]
        if depth:
            kinds += ["record", "array", "map", "nullable", "nullable", "union"]
        kind = self.draw(st.sampled_from(kinds))
        if kind in PRIMITIVES:
            return kind, PRIMITIVES[kind]
        if kind == "again":
            name, of_name = self.draw(st.sampled_from(self.named))
            return name, of_name
        if kind == "fixed":
            size = self.draw(st.integers(0, 5))
            return self.keep(
                {"type": "fixed", "name": self.name(), "size": size}, st.binary(min_size=size, max_size=size)
            )
        if kind == "enum":
            symbols = [f"S{i}" for i in range(self.draw(st.integers(1, 70)))]
            return self.keep({"type": "enum", "name": self.name(), "symbols": symbols}, st.sampled_from(symbols))
        if kind == "time":
            logical = self.draw(st.sampled_from(["timestamp-millis", "timestamp-micros"]))
            return {"type": "long", "logicalType": logical}, LONG | MOMENTS
        if kind == "record":
            return self.record(depth - 1)
        if kind == "union":
            return self.union(depth - 1)
        inner, values = self.any(depth - 1)
        if kind == "array":
            return {"type": "array", "items": inner}, st.lists(values, max_size=4)
        if kind == "map":
            return {"type": "map", "values": inner}, st.dictionaries(TEXT, values, max_size=4)
        if inner == "null" or isinstance(inner, list):
            return inner, values
        return self.draw(st.sampled_from([["null", inner], [inner, "null"]])), st.none() | values

    def record(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        fields, values, optional = [], {}, {}
        for index in range(self.draw(st.integers(0, 5))):
            field: dict[str, Any] = {"name": f"f{index}"}
            field["type"], value = self.any(depth)
            if isinstance(field["type"], list) and field["type"][0] == "null":
                field["default"] = None
                optional[field["name"]] = value
            else:
                values[field["name"]] = value
            fields.append(field)
        record = {"type": "record", "name": self.name(), "namespace": "space", "fields": fields}
        return self.keep(record, st.fixed_dictionaries(values, optional=optional))

    def union(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        branches: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {}
        for _ in range(self.draw(st.integers(1, 5))):
            named = len(self.named)
            schema, values = self.any(depth)
            kind = _branch(schema)
            if kind == "union" or kind in branches or _clash(kind, schema, branches):
                del self.named[named:]
            else:
                branches[kind] = schema, values
        if not branches:
            return "null", st.none()
        return [schema for schema, _ in branches.values()], st.one_of(*(values for _, values in branches.values()))


def _branch(schema: Any) -> str:
    """What a union may have once."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, dict):
        return str(schema.get("name", schema["type"]))
    return str(schema).removeprefix("space.")


def _clash(kind: str, schema: Any, branches: dict[str, Any]) -> bool:
    """fastavro takes bytes for an array of numbers, where the array comes first; a name may be that of bytes."""

    def may_be_bytes(schema: Any) -> bool:
        return schema == "bytes" or str(schema).startswith("space.") or ("size" in schema and isinstance(schema, dict))

    if kind == "array":
        return any(may_be_bytes(other) for other, _ in branches.values())
    return "array" in branches and may_be_bytes(schema)


@st.composite
def schemas_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    schema, values = Maker(draw).record(3)
    return schema, draw(st.lists(values, min_size=1, max_size=3))


@st.composite
def schemas_and_junk(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    schema, _ = Maker(draw).record(2)
    fields = st.fixed_dictionaries({}, optional={field["name"]: JUNK for field in schema["fields"]})
    return schema, draw(fields)


def by_fastavro(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value, disable_tuple_notation=True)
    return out.getvalue()


@settings(max_examples=400, deadline=None)
@given(schemas_and_values())
def test_bytes_equal_fastavros_for_any_schema(drawn: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    schema, values = drawn
    write = Writer(schema)
    for value in values:
        assert write(value) == by_fastavro(schema, value)


def laid_flat(schema: dict[str, Any], value: dict[str, Any], data: st.DataObject, at: str = "") -> dict[str, Any]:
    """The same record, some of the records in it by their parts."""
    types = {field["name"]: field["type"] for field in schema["fields"]}
    flat: dict[str, Any] = {}
    for name, item in value.items():
        plain = (
            [branch for branch in types[name] if branch != "null"] if isinstance(types[name], list) else [types[name]]
        )
        record = plain[0] if len(plain) == 1 and isinstance(plain[0], dict) and plain[0]["type"] == "record" else None
        parts = laid_flat(record, item, data, f"{at}{name}.") if record and item and data.draw(st.booleans()) else {}
        flat |= parts or {at + name: item}
    return flat


@settings(max_examples=400, deadline=None)
@given(schemas_and_values(), st.data())
def test_a_flat_record_is_written_as_the_nested_one(
    drawn: tuple[dict[str, Any], list[dict[str, Any]]], data: st.DataObject
) -> None:
    schema, values = drawn
    flat = [laid_flat(schema, value, data) for value in values]
    common = [
        path for path, item in flat[0].items() if all(path in one and repr(one[path]) == repr(item) for one in flat)
    ]
    constant = [path for path in common if data.draw(st.booleans())]
    write = Writer(schema, {path: flat[0][path] for path in constant})
    for record, value in zip(flat, values, strict=True):
        assert repr(nested(record)) == repr(value)
        given_parts = {path: item for path, item in record.items() if path not in constant}
        assert write(given_parts) == by_fastavro(schema, value)


@pytest.mark.parametrize(
    "record", [{"a": {}, "a.b": 1}, {"a.b": 1, "a": {}}, {"a.b": 1, "a.b.c": 2}, {"a": None, "a.b": 1}, {"k": {}}]
)
def test_a_field_given_as_a_whole_and_in_parts_is_refused(record: dict[str, Any]) -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "b", "type": "int"}]}
    fields = [{"name": "a", "type": ["null", inner]}, {"name": "k", "type": ["null", "I"], "default": None}]
    with pytest.raises(Unencodable):
        Writer({"type": "record", "name": "R", "fields": fields}, {"k.b": 1})(record)


def test_only_the_outermost_record_may_be_flat() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "c", "type": ["null", "int"], "default": None}]}
    item = {"type": "record", "name": "J", "fields": [{"name": "b", "type": ["null", inner], "default": None}]}
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": item}}]}
    assert Writer(schema)({"a": [{"b.c": 1}]}) == by_fastavro(schema, {"a": [{}]})


@settings(max_examples=400, deadline=None)
@given(schemas_and_junk())
def test_junk_is_refused_or_written_as_fastavro_writes_it(drawn: tuple[dict[str, Any], dict[str, Any]]) -> None:
    schema, value = drawn
    try:
        written = Writer(schema)(value)
    except Unencodable:
        return
    assert written == by_fastavro(schema, value)


@given(LONG)
def test_a_varint_is_read_back(number: int) -> None:
    encoded = io.BytesIO(varint(number).encode("latin-1"))
    assert fastavro.schemaless_reader(encoded, fastavro.parse_schema({"type": "long"}), None) == number


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.stem)
def test_every_sample_event_is_written_as_fastavro_writes_it(file: Path) -> None:
    schema = json.loads(file.read_text("utf-8"))
    write = Writer(schema)
    for profile in ("rudderstack", "corrected"):
        mapper = Mapper(profile)
        for payload in samples.one_of_each():
            event = mapper.map(
                json.dumps(payload).encode(), received_at_ms=1_700_000_000_123, request_timestamp_s=1, event_id="x"
            )
            assert write(event) == by_fastavro(schema, event)


def test_events_are_written_by_the_functions_of_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else would be right and cost most of the speed, silently."""
    monkeypatch.setattr(avro_compiler.Compiler, "piece", lambda *_: None)
    monkeypatch.setattr(avro_shapes.ShapeCompiler, "_default_of", lambda *_: "?")
    monkeypatch.setattr(avro_writer, "_write_slowly", None)
    write = Writer(load_schema())
    for payload in samples.one_of_each():
        body = json.dumps(payload).encode()
        event = Mapper("corrected").map(body, received_at_ms=1_700_000_000_000, request_timestamp_s=9, event_id="é")
        assert write(event)


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
    assert Writer(schema)(tree) == by_fastavro(schema, tree)


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
    write = Writer(schema)
    assert write({"d": "x", "e": 1}) == by_fastavro(schema, {"a": None, "b": 7, "c": [], "d": "x"})
    with pytest.raises(Unencodable, match="d is missing, and has no default"):
        write({})


def test_defaults_are_taken_from_json() -> None:
    """It writes bytes as text, and has no number for infinity; fastavro 1.13 takes neither in a default."""
    fixed = {"type": "fixed", "name": "F", "size": 2}
    inner = {"type": "record", "name": "I", "fields": [{"name": "i", "type": "bytes"}]}
    defaults: list[tuple[Any, Any, Any]] = [
        ("bytes", "é", b"\xe9"),
        (fixed, "\0\xff", b"\0\xff"),
        ("double", "-Infinity", float("-inf")),
        (["bytes", "null"], "a", b"a"),
        ({"type": "map", "values": {"type": "array", "items": "bytes"}}, {"a": ["b"]}, {"a": [b"b"]}),
        (inner, {"i": "x"}, {"i": b"x"}),
    ]
    for kind, default, value in defaults:
        field = {"name": "field", "type": kind}
        write = Writer({"type": "record", "name": "R", "fields": [{**field, "default": default}]})
        assert write({}) == by_fastavro({"type": "record", "name": "R", "fields": [field]}, {"field": value})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, Decimal("-12.34")),
        ({"type": "string", "logicalType": "uuid"}, uuid.UUID(int=7)),
        ({"type": "string", "logicalType": "uuid"}, str(uuid.UUID(int=7))),
        ({"type": "int", "logicalType": "date"}, datetime(2026, 1, 2, tzinfo=UTC).date()),
        (["null", "string", {"type": "long", "logicalType": "timestamp-micros"}], datetime(2026, 1, 2, tzinfo=UTC)),
        ({"type": "array", "items": "int"}, (1, 2)),
        ("bytes", bytearray(b"ab")),
        (["float", "double"], 0.1),
        (["float", "string"], 3),
    ],
)
def test_what_python_has_other_types_for_is_written_as_fastavro_writes_it(kind: Any, value: Any) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "field", "type": kind}]}
    assert Writer(schema)({"field": value}) == by_fastavro(schema, {"field": value})


def test_of_two_records_a_union_takes_the_one_that_more_fields_match() -> None:
    def record(name: str, *fields: str) -> dict[str, Any]:
        types = [{"name": field, "type": ["null", "long"], "default": None} for field in fields]
        return {"type": "record", "name": name, "fields": types}

    union = [record("A", "x"), record("B", "x", "y"), record("C", "x", "y", "z")]
    schema = {"type": "record", "name": "R", "fields": [{"name": "field", "type": union}]}
    for value, branch in [({"x": 1}, 0), ({"x": 1, "y": 2}, 1), ({"z": 1}, 2), ({}, 0)]:
        written = Writer(schema)({"field": value})
        assert written == by_fastavro(schema, {"field": value})
        assert written[0] == 2 * branch


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
        (TIME, True),
        (TIME, 2**63),
        (TIME, -(2**63) - 1),
        (TIME, 1.0),
        (["null", TIME], False),
        (["null", "string"], b"x"),
        (["null", "string"], ["x"]),
        (["null", "string"], "\udfff"),
        (["string", "null"], {"x": "y"}),
        ("long", 1.0),
        ("boolean", 1),
        ("double", "1"),
        pytest.param("double", 10**400, id="too large for a double"),
        ("float", 1e39),
        ("float", True),
        (["null", "float"], False),
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
        ({"type": "int", "logicalType": "date"}, "2020-01-01"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 0}, Decimal(123)),
        (["string", "long"], None),
    ],
)
def test_what_does_not_fit_is_refused_and_the_field_named(kind: Any, value: Any) -> None:
    write = Writer({"type": "record", "name": "R", "fields": [{"name": "field", "type": kind}]})
    with pytest.raises(Unencodable) as caught:
        write({"field": value})
    assert caught.value.path.startswith("field")


@pytest.mark.parametrize(
    ("event", "path", "problem"),
    [
        ({"a": [{"b": 1}, {"b": "x"}]}, "a[1].b", "must be of type int, not str"),
        ({"a": [{"b": 2**31}]}, "a[0].b", "is outside the range of type int"),
        ({"a": [{}]}, "a[0].b", "is missing, and has no default"),
        ({"m": {"someone@example.com": 1}}, "m{}", "must be of type string, not int"),
        ({"m": {"\ud800": "x"}}, "m's key", "is no Unicode text: it has half of a surrogate pair"),
        ({"u": b""}, "u", "must be of one of the union's types, not bytes"),
        ([], "", "must be of type R, not list"),
        (None, "", "must be of type R, not NoneType"),
    ],
)
def test_the_path_leads_to_what_does_not_fit(event: Any, path: str, problem: str) -> None:
    item = {"type": "record", "name": "I", "fields": [{"name": "b", "type": "int"}]}
    fields = [
        {"name": "a", "type": ["null", {"type": "array", "items": item}], "default": None},
        {"name": "m", "type": {"type": "map", "values": "string"}, "default": {}},
        {"name": "u", "type": ["null", "string", "long"], "default": None},
    ]
    with pytest.raises(Unencodable) as caught:
        Writer({"type": "record", "name": "R", "fields": fields})(event)
    assert (caught.value.path, str(caught.value)) == (path, f"{path or 'the record'} {problem}")


def test_nesting_beyond_what_python_can_follow_is_refused() -> None:
    schema = {"type": "record", "name": "T", "fields": [{"name": "t", "type": ["null", "T"], "default": None}]}
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"t": deep}
    with pytest.raises(Unencodable, match="nested too deeply"):
        Writer(schema)(deep)


def test_integers_are_right_after_all_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro_numbers, "MAX_REMEMBERED", 2)
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}
    write = Writer(schema)
    for number in [1, 2, 3, 1, -3, 2**40]:
        assert write({"n": number}) == by_fastavro(schema, {"n": number})


def test_no_value_is_quoted_where_one_is_refused() -> None:
    write = Writer({"type": "record", "name": "R", "fields": [{"name": "field", "type": "long"}]})
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
    mapper, body = Mapper("corrected"), json.dumps(payload).encode()
    try:
        event = mapper.map(body, received_at_ms=0, request_timestamp_s=None, event_id="x")
    except Rejection:
        return
    by_oracle = by_fastavro(load_schema(), event)
    assert WRITE(event) == by_oracle
    assert WRITE_FLAT(mapper.fields(body, 0, None, "x", "default")) == by_oracle


def test_more_shapes_than_are_remembered_are_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro_shapes, "MAX_SHAPES", 3)
    fields = [{"name": f"f{n}", "type": ["null", "string"], "default": None} for n in range(4)]
    schema = {"type": "record", "name": "R", "fields": fields}
    write = Writer(schema)
    for keys in itertools.permutations(["f0", "f1", "f2", "f3", "unknown"], 3):
        record = {key: f"value of {key}" for key in keys}
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
        assert write(record) == out.getvalue(), keys


@pytest.mark.parametrize("edge", [2**6, 2**13, 2**14, 2**20, 2**31, 2**41, 2**62])
def test_integers_around_the_edges_of_their_tables(edge: int) -> None:
    write = Writer({"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]})
    write_time = Writer({"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", TIME]}]})
    for number in [*range(edge - 3, edge + 3), *range(-edge - 3, -edge + 3)]:
        assert write({"n": number}) == varint(number).encode("latin-1")
        assert write_time({"n": number}) == b"\2" + varint(number).encode("latin-1")


@pytest.mark.parametrize("length", [0, 63, 64, 4_095, 4_096, 8_191, 8_192, 100_000])
@pytest.mark.parametrize("kind", ["string", ["null", "string"], ["string", "null"]])
@pytest.mark.parametrize("letter", ["a", "\x7f", "\x80", "\xff", "€", "⚓"])
def test_texts_of_any_length_and_letters(kind: Any, length: int, letter: str) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name in "ab"]}
    for record in ({"a": length * letter, "b": "b"}, {"a": "a", "b": (length - 1) * "a" + letter}):
        assert Writer(schema)(record) == by_fastavro(schema, record)


def test_texts_of_other_types_are_written_as_text() -> None:
    class Text(str):
        __slots__ = ()

    class Named(enum.StrEnum):
        ANCHOR = "⚓"

    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}
    for text in (Text("plain"), Text("é"), Named.ANCHOR):
        assert Writer(schema)({"a": text}) == by_fastavro(schema, {"a": str(text)})
