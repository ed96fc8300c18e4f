"""Encodes track events, and tells which field is at fault if an event does not fit the schema."""

from typing import Any

import fastavro
from fastavro.validation import ValidationError

from schemas.avro.encoder import FIELDS, encode
from schemas.mapping import tables
from schemas.nesting import nested
from schemas.track_event import load_schema

_SCHEMA = fastavro.parse_schema(load_schema())


class EncodingError(ValueError):
    """A value does not fit the schema. The message names the field and its type, and quotes nothing of the value."""


def write_event(row: list[Any]) -> bytes:
    """Avro of an event, its fields in the order of `FIELDS`; times are Unix milliseconds.

    Raises EncodingError; any other exception is a fault of the encoder.
    """
    try:
        return encode(row)
    except UnicodeEncodeError:
        raise EncodingError("text is not Unicode: it has half of a surrogate pair") from None
    except Exception:
        if misfit := _misfit(row):
            raise EncodingError(misfit) from None
        raise


def fields_of(row: list[Any]) -> dict[str, Any]:
    """The fields of an event that are not null, by their paths in the schema."""
    return {path: value for path, value in zip(FIELDS, row, strict=True) if value is not None}


def _misfit(row: list[Any]) -> str | None:
    """What does not fit, in words; None if all does. fastavro is the judge."""
    try:
        fastavro.validate(nested({**tables.constants(), **fields_of(row)}), _SCHEMA, raise_errors=True)
    except ValidationError as invalid:
        error = invalid.errors[-1]  # of a union's branches the one that is not null
        kind = error.schema if isinstance(error.schema, str) else error.schema["type"]
        return f"{str(error.field).removeprefix('sternpost.events.')} must be of type {kind}"
    return None
