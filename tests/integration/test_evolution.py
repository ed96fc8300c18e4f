"""The check of versions without a registry, against a real registry's own verdict."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from schemas.evolution import incompatibility
from tests.support.kafka import Kafka


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(kind: Any, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


STRING = field("string")
PAIRS: dict[str, tuple[Any, Any]] = {
    "the same": (record(STRING), record(STRING)),
    "a field with a default more": (record(STRING), record(STRING, field("long", "b", default=1))),
    "a field without a default more": (record(STRING), record(STRING, field("long", "b"))),
    "another order": (record(STRING, field("long", "b")), record(field("long", "b"), STRING)),
    "nullable": (record(STRING), record(field(["null", "string"], default=None))),
    "wider": (record(field("int")), record(field("long"))),
    "an integer as a double": (record(field("long")), record(field("double"))),
    "text as bytes": (record(STRING), record(field("bytes"))),
    "another type": (record(STRING), record(field("long"))),
    "a union's type more": (record(field(["null", "string"])), record(field(["null", "string", "long"]))),
    "a symbol more": (record(field(enum("A"))), record(field(enum("A", "B")))),
    "a symbol more, with a default": (
        record(field(enum("A", default="A"))),
        record(field(enum("A", "B", default="A"))),
    ),
    "another size": (
        record(field({"type": "fixed", "name": "F", "size": 1})),
        record(field({"type": "fixed", "name": "F", "size": 2})),
    ),
    "another record's name": (record(STRING), record(STRING, name="S")),
    "a renamed field with an alias": (record(STRING), record(field("string", "b", aliases=["a"]))),
    "a field of a record within": (
        record(field(record(STRING, name="I"))),
        record(field(record(STRING, field("long", "b"), name="I"))),
    ),
    "a field of a record in a union": (
        record(field(["null", record(STRING, name="I")])),
        record(field(["null", record(STRING, field("long", "b"), name="I")])),
    ),
    "items": (
        record(field({"type": "array", "items": "int"})),
        record(field({"type": "array", "items": "string"})),
    ),
    "wider values": (
        record(field({"type": "map", "values": "int"})),
        record(field({"type": "map", "values": "long"})),
    ),
    "a record that holds itself": (
        record(field(["null", "R"], default=None)),
        record(field(["null", "R"], default=None), field("long", "b", default=0)),
    ),
    "a logical type": (
        record(field("long")),
        record(field({"type": "long", "logicalType": "timestamp-millis"})),
    ),
}


@pytest.fixture
def client(kafka: Kafka) -> Iterator[SchemaRegistryClient]:
    with closing(SchemaRegistryClient({"url": kafka.registry_url})) as client:
        yield client


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_the_registry_comes_to_the_same_verdict(client: SchemaRegistryClient, pair: tuple[Any, Any]) -> None:
    for reader, writer in (pair, pair[::-1]):
        subject = f"test-{uuid.uuid4().hex[:12]}-value"
        client.register_schema(subject, Schema(json.dumps(writer), "AVRO"))
        client.set_compatibility(subject, "BACKWARD")
        theirs = client.test_compatibility(subject, Schema(json.dumps(reader), "AVRO"))
        assert (incompatibility(reader, writer) is None) == theirs
