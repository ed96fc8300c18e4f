"""Reads events as a sink would: by the schema that their frame names."""

import io
from collections.abc import Callable
from functools import cache
from typing import Any, Self

import fastavro

from schemas.avro.wire_format import split
from schemas.track_event import load_schema


class EventReader:
    """Decodes values, whatever version of the schema each was written with."""

    def __init__(self, schema_by_id: Callable[[int], dict[str, Any]]) -> None:
        """`schema_by_id`: a schema as JSON, `Registry.schema` for one."""
        self._parsed = cache(lambda schema_id: fastavro.parse_schema(schema_by_id(schema_id)))

    @classmethod
    def of_newest(cls) -> Self:
        """A reader of what this version of Sternpost wrote, whatever id frames it."""
        schema = load_schema()
        return cls(lambda _: schema)

    def __call__(self, value: bytes) -> dict[str, Any]:
        """The event in its writer's schema, times as aware datetimes. Raises ValueError for any other format."""
        schema_id, payload = split(value)
        schema, rest = self._parsed(schema_id), io.BytesIO(payload)
        try:
            event = fastavro.schemaless_reader(rest, schema, None)
        except Exception as error:  # whatever comes up in bytes that are something else
            raise ValueError(f"the value is no event of schema {schema_id}") from error
        if rest.read(1):
            raise ValueError(f"the value goes on after an event of schema {schema_id}")
        assert isinstance(event, dict)  # noqa: S101 (the schema is a record's)
        return event
