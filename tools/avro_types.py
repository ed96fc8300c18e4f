"""Avro's binary encoding of the types in our schemas: the functions that tools/codegen.py puts into the encoder.

https://avro.apache.org/docs/1.12.0/specification/#binary-encoding

Each function appends one value to `out`. If the value does not have the type, it raises TypeError, AttributeError,
OverflowError or UnicodeEncodeError. A nullable value is a union of null and the type, in this order.
"""

from typing import Any, Final

from librt.strings import BytesWriter

MAX_INT: Final = 2**31 - 1
MIN_INT: Final = -(2**31)


def write_long(out: BytesWriter, value: Any) -> None:
    """Write a signed 64-bit integer: zig-zag, then a varint."""
    if type(value) is not int:  # a bool is an int in Python, but not a long in Avro
        raise TypeError
    number: int = value
    zigzag = number << 1 if number >= 0 else ~(number << 1)
    if zigzag >> 64:
        raise OverflowError
    _write_varint(out, zigzag)


def write_int(out: BytesWriter, value: Any) -> None:
    """Write a signed 32-bit integer, in the encoding of a long."""
    if type(value) is int and not MIN_INT <= value <= MAX_INT:
        raise OverflowError
    write_long(out, value)


def write_boolean(out: BytesWriter, value: Any) -> None:
    """Write a boolean: one byte."""
    if type(value) is not bool:
        raise TypeError
    out.append(1 if value else 0)


def write_string(out: BytesWriter, value: str) -> None:
    """Write a string: its length in bytes, then UTF-8."""
    encoded = value.encode()
    write_count(out, len(encoded))
    out.write(encoded)


def write_nullable_long(out: BytesWriter, value: Any) -> None:
    """Write null or a long."""
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_long(out, value)


def write_nullable_int(out: BytesWriter, value: Any) -> None:
    """Write null or an int."""
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_int(out, value)


def write_nullable_boolean(out: BytesWriter, value: Any) -> None:
    """Write null or a boolean."""
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_boolean(out, value)


def write_nullable_string(out: BytesWriter, value: str | None) -> None:
    """Write null or a string."""
    if value is None:
        out.append(0)
    else:
        out.append(2)
        write_string(out, value)


def write_count(out: BytesWriter, count: int) -> None:
    """Write a length, or the number of items in a block of an array or map. A block of 0 items ends it."""
    _write_varint(out, count << 1)


def _write_varint(out: BytesWriter, number: int) -> None:
    """Write a number from 0 up: seven bits a byte, lowest first, with the high bit set in all but the last."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
