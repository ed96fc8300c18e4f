"""The generated encoder against fastavro: equal bytes for every event that fits, an error for all others."""

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.pipeline import mapper
from processor.pipeline.mapper import Mapper
from processor.pipeline.pipeline import schema_violation
from schemas.avro.encoder import FIELDS, encode
from schemas.error_codes import PayloadRejectedError
from schemas.mapping import tables
from schemas.track_event import load_schema
from sternpost.local import samples
from tests.support.examples import examples
from tools import codegen

SCHEMA = load_schema()
PARSED = fastavro.parse_schema(SCHEMA)

Event = dict[str, Any]

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("é⚓\0", min_size=60, max_size=70)
INTS = st.integers(-(2**31), 2**31 - 1)
LONGS = st.integers(-(2**63), 2**63 - 1)


def by_fastavro(event: Event, schema: Any = PARSED) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, event)
    return out.getvalue()


def row_of(fields: Event) -> list[Any]:
    return [fields.get(path) for path in FIELDS]


def written(fields: Event) -> bytes:
    return encode(row_of(fields))


def violation(fields: Event) -> str | None:
    """Return what is said of fields that the encoder refuses."""
    with pytest.raises(Exception) as fault:  # noqa: PT011 (any)
        written(fields)
    return schema_violation(row_of(fields), fault.value)


def tree(fields: Event) -> Event:
    return mapper.tree(row_of(fields))


def values_of(schema: Any) -> st.SearchStrategy[Any]:
    """Draw values that fit a schema."""
    if isinstance(schema, list):
        return st.one_of(*map(values_of, schema))
    match schema if isinstance(schema, str) else schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "int":
            return INTS
        case "long":
            return LONGS
        case "string":
            return TEXTS
        case "array":
            return st.lists(values_of(schema["items"]), max_size=3)
        case "map":
            return st.dictionaries(TEXTS, values_of(schema["values"]), max_size=3)
    return st.fixed_dictionaries({field["name"]: values_of(field["type"]) for field in schema["fields"]})


def flat(record: Event, schema: Any, at: str = "") -> Event:
    """Return the fields of a record by their paths, without nulls."""
    fields: Event = {}
    for field in schema["fields"]:
        path, value = at + field["name"], record[field["name"]]
        if isinstance(field["type"], dict) and field["type"]["type"] == "record":
            fields |= flat(value, field["type"], f"{path}.")
        elif value is not None and path not in tables.constants():
            fields[path] = value
    return fields


@settings(deadline=None)
@given(values_of(SCHEMA))
def test_an_event_that_fits_is_written_as_fastavro_writes_it(event: Event) -> None:
    fields = flat(event, SCHEMA)
    assert written(fields) == by_fastavro(tree(fields))


EVENT = {"event": "E", "messageId": "m", "timestamp": 1, "receivedAt": 2, "properties.metric": "sent"}
EVENT |= {path: "x" for path in FIELDS if path == "context.sourceId"}

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
).filter(lambda junk: junk is not None)


@settings(max_examples=examples(5), deadline=None)
@given(st.sampled_from(FIELDS), JUNK)
def test_what_does_not_fit_is_refused(path: str, junk: Any) -> None:
    fields = {**EVENT, path: junk}
    try:
        encoded = written(fields)
    except Exception as fault:
        said = schema_violation(row_of(fields), fault)
        if said is None:
            assert "b'" in repr(junk)  # fastavro takes no bytes at all for an empty list
        elif "Unicode" not in said:
            assert not fastavro.validate(tree(fields), PARSED, raise_errors=False)
    else:
        assert encoded == by_fastavro(tree(fields))


@pytest.mark.parametrize("profile", tables.PROFILES)
def test_every_kind_of_webhook_is_written_as_fastavro_writes_it(profile: str) -> None:
    mapping = Mapper(profile)
    for payload in samples.one_of_each():
        row = mapping.row(json.dumps(payload).encode(), 1_700_000_000_123, 1, "x", "web")
        assert encode(row) == by_fastavro(mapper.tree(row))


@settings(max_examples=examples(2), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "event_id", "object_type", "metric", "timestamp"]),
        st.recursive(
            st.none() | st.booleans() | LONGS | TEXTS | st.floats(allow_nan=False),
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
def test_whatever_the_mapping_lets_through_is_encodable(payload: Event) -> None:
    try:
        row = Mapper("corrected").row(json.dumps(payload).encode(), 0, None, "x", "web")
    except PayloadRejectedError:
        return
    assert encode(row) == by_fastavro(mapper.tree(row))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("event", None, "TrackEvent.event must be of type string"),
        ("event", b"someone", "TrackEvent.event must be of type string"),
        ("timestamp", 2**63, "TrackEvent.timestamp must be of type long"),
        ("timestamp", True, "TrackEvent.timestamp must be of type long"),
        ("sentAt", -(2**63) - 1, "TrackEvent.sentAt must be of type long"),
        ("properties.actionId", "someone", "Properties.actionId must be of type long"),
        ("properties.actionId", 1.0, "Properties.actionId must be of type long"),
        ("properties.machine", 1, "Properties.machine must be of type boolean"),
        ("properties.recipients", "someone", "Properties.recipients must be of type array"),
        ("properties.recipients", [{"device_id": 1}], "Device.device_id must be of type string"),
        ("properties.headers", {"someone": "x"}, "Properties.headers must be of type array"),
        ("properties.headers", {1: ["x"]}, "Properties.headers must be of type map"),
        ("properties.emailSubject", "someone \ud800", "text is not Unicode: it has half of a surrogate pair"),
    ],
)
def test_the_field_that_does_not_fit_is_named_and_nothing_of_the_value(path: str, value: Any, message: str) -> None:
    assert violation({**EVENT, path: value}) == message


def test_what_fits_and_is_not_written_is_a_fault_of_ours() -> None:
    class Devices(list[Event]):
        """fastavro accepts any sequence."""

    assert violation({**EVENT, "properties.recipients": Devices()}) is None


@pytest.mark.parametrize("edge", [0, 2**6, 2**13, 2**14, 2**20, 2**31, 2**41, 2**62, 2**63 - 4])
def test_longs_around_the_edges_of_their_bytes(edge: int) -> None:
    for number in [*range(edge - 3, edge + 4), *range(-edge - 4, -edge + 4)]:
        fields = {**EVENT, "timestamp": number, "properties.actionId": number}
        assert written(fields) == by_fastavro(tree(fields))


@pytest.mark.parametrize("length", [0, 63, 64, 8_191, 8_192, 100_000])
@pytest.mark.parametrize("letter", ["a", "\x7f", "\x80", "\xff", "€", "⚓"])
def test_texts_of_any_length_and_letters(length: int, letter: str) -> None:
    fields = {**EVENT, "event": length * letter, "properties.content": length * "a" + letter}
    assert written(fields) == by_fastavro(tree(fields))


def test_the_encoder_is_what_the_generator_writes() -> None:
    assert codegen.ENCODER.read_text("utf-8") == codegen.encoder(), "run `make codegen`"


def generated(schema: Any, constants: Event) -> tuple[tuple[str, ...], Callable[[list[Any]], bytes]]:
    scope: Event = {}
    exec(codegen.module(schema, constants, "any.avsc"), scope)
    return scope["FIELDS"], scope["encode"]


def record(name: str, /, **types: Any) -> Event:
    fields = [{"name": field, "type": kind} for field, kind in types.items()]
    for field in fields:
        if isinstance(field["type"], list):
            field["default"] = None
    return {"type": "record", "name": name, "fields": fields}


ALL_KINDS = record(
    "All",
    number=["null", "int"],
    lists={"type": "array", "items": {"type": "array", "items": "long"}},
    place=record("Place", port="int", flags={"type": "map", "values": ["null", "boolean"]}),
    origin=record("Origin", topic="string", offset=["null", "long"], inner=record("Inner", a=["null", "int"])),
    ships=["null", {"type": "array", "items": record("Ship", name="string", masts=["null", "long"])}],
    fixed={"type": "map", "values": "long"},
)


@settings(deadline=None)
@given(values_of(ALL_KINDS))
def test_any_schema_of_types_that_the_generator_knows(event: Event) -> None:
    event["fixed"] = {"a": 1}
    paths, encode = generated(ALL_KINDS, {"fixed": event["fixed"]})
    fields = flat(event, ALL_KINDS)
    expected = by_fastavro(event, fastavro.parse_schema(ALL_KINDS))
    assert encode([fields.get(path) for path in paths]) == expected


@pytest.mark.parametrize(
    "schema",
    [
        record("R", a="double"),
        record("R", a=["null", "string", "long"]),
        record("R", a=["string", "null"]),
        record("R", a={"type": "enum", "name": "E", "symbols": ["A"]}),
        record("R", a={"type": "fixed", "name": "F", "size": 2}),
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string", "default": "x"}]},
        record("R", a=["null", record("Inner", b="int")]),
    ],
)
def test_the_generator_refuses_what_it_does_not_know(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"^R\.a"):
        codegen.module(schema, {}, "any.avsc")
