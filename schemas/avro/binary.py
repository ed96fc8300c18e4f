"""Avro's binary encoding of the types that our schemas have: what the generated encoder calls.

https://avro.apache.org/docs/1.12.0/specification/#binary-encoding

Each function appends one value to `out`. For a value that is not of the type it raises TypeError, AttributeError,
OverflowError or UnicodeEncodeError. A nullable value is a union of null and the type, in this order.
"""

from typing import Any, Final

from librt.strings import BytesWriter

MAX_INT: Final = 2**31 - 1
MIN_INT: Final = -(2**31)


def write_long(out: BytesWriter, value: Any) -> None:
    """A signed integer of 64 bits: zig-zag, then as `_write_varint` has it."""
    if type(value) is not int:  # a bool is an int to Python, and no long to Avro
        raise TypeError
    number: int = value
    zigzag = number << 1 if number >= 0 else ~(number << 1)
    if zigzag >> 64:
        raise OverflowError
    _write_varint(out, zigzag)


def write_int(out: BytesWriter, value: Any) -> None:
    """A signed integer of 32 bits, encoded as a long is."""
    if type(value) is int and not MIN_INT <= value <= MAX_INT:
        raise OverflowError
    write_long(out, value)


def write_boolean(out: BytesWriter, value: Any) -> None:
    if type(value) is not bool:
        raise TypeError
    out.append(1 if value else 0)


def write_string(out: BytesWriter, value: str) -> None:
    """UTF-8, its length in bytes before it."""
    encoded = value.encode()
    write_count(out, len(encoded))
    out.write(encoded)


def write_nullable_long(out: BytesWriter, value: Any) -> None:
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_long(out, value)


def write_nullable_int(out: BytesWriter, value: Any) -> None:
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_int(out, value)


def write_nullable_boolean(out: BytesWriter, value: Any) -> None:
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_boolean(out, value)


def write_nullable_string(out: BytesWriter, value: str | None) -> None:
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_string(out, value)


def is_null(row: list[Any], first: int, last: int) -> bool:
    """Whether a record within the event is null: none of its fields, from `first` to `last` of a row, has a value."""
    for index in range(first, last + 1):  # noqa: SIM110 (a generator expression takes five times as long)
        if row[index] is not None:
            return False
    return True


def write_count(out: BytesWriter, count: int) -> None:
    """A length, or how many items a block of an array or a map has. A block of 0 ends either."""
    _write_varint(out, count << 1)


def _write_varint(out: BytesWriter, number: int) -> None:
    """Seven bits a byte, the lowest first; each byte but the last has its highest bit set. `number`: not negative."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
