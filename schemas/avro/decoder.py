"""Decodes events as a sink does, with the schema whose id comes before the Avro."""

import io
from collections.abc import Callable
from functools import cache
from typing import Any, Self

import fastavro

from schemas.avro.wire_format import split
from schemas.track_event import load_schema


class EventReader:
    """Decodes values of any version of the schema."""

    def __init__(self, schema_by_id: Callable[[int], dict[str, Any]]) -> None:
        """Take a function that returns the schema of an id as JSON, such as `Registry.schema`."""
        self._parsed = cache(lambda schema_id: fastavro.parse_schema(schema_by_id(schema_id)))

    @classmethod
    def of_newest(cls) -> Self:
        """Return a reader of events that this version of Sternpost wrote, whatever their schema id."""
        schema = load_schema()
        return cls(lambda _: schema)

    def __call__(self, value: bytes) -> dict[str, Any]:
        """Decode an event with its writer's schema, times as aware datetimes. Raises ValueError for other formats."""
        schema_id, payload = split(value)
        schema, rest = self._parsed(schema_id), io.BytesIO(payload)
        try:
            event = fastavro.schemaless_reader(rest, schema, None)
        except Exception as error:  # decoding arbitrary bytes can raise anything
            raise ValueError(f"the value is not an event of schema {schema_id}") from error
        if rest.read(1):
            raise ValueError(f"the value goes on after an event of schema {schema_id}")
        assert isinstance(event, dict)  # noqa: S101 (the schema is a record's)
        return event
