"""Encodes track events, and finds the field at fault if an event does not fit the schema."""

from typing import Any

import fastavro
from fastavro.validation import ValidationError

from schemas.avro.encoder import FIELDS, encode
from schemas.mapping import tables
from schemas.nesting import unflatten
from schemas.track_event import load_schema

_SCHEMA = fastavro.parse_schema(load_schema())


class EncodingError(ValueError):
    """A value does not fit the schema. The message names the field and its type, and does not quote the value."""


def write_event(row: list[Any]) -> bytes:
    """Encode an event as Avro. `row` has its fields in the order of `FIELDS`, times in Unix milliseconds.

    Raises EncodingError; any other exception is a fault of the encoder.
    """
    try:
        return encode(row)
    except UnicodeEncodeError:
        raise EncodingError("text is not Unicode: it has half of a surrogate pair") from None
    except Exception:
        if invalid := _validation_error(row):
            raise EncodingError(invalid) from None
        raise


def fields_of(row: list[Any]) -> dict[str, Any]:
    """Return the fields of an event that are not null: path in the schema → value."""
    return {path: value for path, value in zip(FIELDS, row, strict=True) if value is not None}


def _validation_error(row: list[Any]) -> str | None:
    """Return a description of the value that does not fit, or None if fastavro finds that all do."""
    try:
        fastavro.validate(unflatten({**tables.constants(), **fields_of(row)}), _SCHEMA, raise_errors=True)
    except ValidationError as invalid:
        error = invalid.errors[-1]  # the branch of the union that is not null
        kind = error.schema if isinstance(error.schema, str) else error.schema["type"]
        return f"{str(error.field).removeprefix('sternpost.events.')} must be of type {kind}"
    return None
