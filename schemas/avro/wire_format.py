"""Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then Avro.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

import struct
from typing import NamedTuple

_PREFIX = struct.Struct(">bI")
MAGIC = 0
MAX_ID = 2**31 - 1  # Confluent's registry uses signed integers


class Framed(NamedTuple):
    """The parts of a value."""

    schema_id: int
    payload: bytes


def frame(schema_id: int) -> bytes:
    """Return the five bytes that go before the Avro of a value. Raises ValueError if the id is out of range."""
    if not 0 <= schema_id <= MAX_ID:
        raise ValueError(f"a schema id must be from 0 to {MAX_ID}, not {schema_id}")
    return _PREFIX.pack(MAGIC, schema_id)


def split(value: bytes) -> Framed:
    """Split a value into schema id and Avro. Raises ValueError if it has another format."""
    if len(value) < _PREFIX.size:
        raise ValueError(f"not in Confluent's wire format: {len(value)} bytes, but the prefix has {_PREFIX.size}")
    magic, schema_id = _PREFIX.unpack_from(value)
    if magic != MAGIC:
        raise ValueError(f"not in Confluent's wire format: the first byte is {magic & 0xFF}, not {MAGIC}")
    if schema_id > MAX_ID:
        raise ValueError(f"not in Confluent's wire format: {schema_id} is more than a schema id can be")
    return Framed(schema_id, value[_PREFIX.size :])
