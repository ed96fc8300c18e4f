"""Avro's binary encoding, by a function written for one schema.

A general writer finds out anew for each value what its schema asks for; most of its time goes into choosing branches of
unions. Here that is done once: `compile_writer` turns the schema into the source of one Python function a record, whose
lines are the record's fields in order, and compiles it. fastavro stays the parser, the reader, the oracle that this is
tested against, and the writer of schemas with a type that is not written here (general unions, decimals …).
"""

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import fastavro

Writer = Callable[[Mapping[str, Any]], bytes]

LIMITS = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
TIMES = {"timestamp-millis", "timestamp-micros"}
"""Logical types whose values are plain integers here."""


class Unencodable(ValueError):
    """The value does not fit the schema; the message names the field by its path and the type that it should have."""


class _Unknown(Exception):
    """The schema has a type that is not written here."""


def compile_writer(schema: dict[str, Any]) -> Writer:
    """A writer of records of this schema: bytes equal to fastavro's for every value that both take.

    Keys that a record has not got take their field's default; keys that the schema has not got are passed over.
    Integers stand for timestamps. The writer raises Unencodable, never writing what the schema does not allow.
    """
    parsed: Any = fastavro.parse_schema(schema)
    try:
        return _Compiler().record(parsed)
    except _Unknown:
        return _by_fastavro(parsed)


def varint(number: int) -> bytes:
    """Zig-zag variable-length encoding of an integer of up to 64 bits."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [varint(n) for n in range(2048)]
"""Of lengths and counts as they mostly are."""
_SMALL_PRESENT = [b"\2" + encoded for encoded in _SMALL]
"""The same after the index of a nullable union's second branch."""


class _Compiler:
    """Writes the functions of a schema's records; a record within itself calls its own."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {
            "varint": varint,
            "SMALL": _SMALL,
            "SMALL_PRESENT": _SMALL_PRESENT,
            "Unencodable": Unencodable,
            "pack_float": struct.Struct("<f").pack,
            "pack_double": struct.Struct("<d").pack,
        }
        self._functions: dict[str, str] = {}
        self._count = 0

    def record(self, schema: dict[str, Any]) -> Writer:
        if schema["type"] != "record":
            raise _Unknown
        append = self._names[self._function(schema)]

        def write(record: Mapping[str, Any]) -> bytes:
            out: list[bytes] = []
            try:
                append(record, out.append)
            except KeyError as error:
                raise Unencodable(f"{schema['name']} lacks {error}, which has no default") from None
            except (AttributeError, TypeError, UnicodeEncodeError, struct.error, OverflowError) as error:
                raise Unencodable(f"{schema['name']} has a value of a wrong type: {type(error).__name__}") from error
            return b"".join(out)

        return write

    def _function(self, schema: dict[str, Any]) -> str:
        """The name of the function that appends a record of this schema."""
        if schema["name"] in self._functions:
            return self._functions[schema["name"]]
        name = self._functions[schema["name"]] = self._new("record")
        lines = ["get = record.get"]
        for field in schema["fields"]:
            lines.append(f"v = {self._taken(field)}")
            lines += self._value(field["type"], f"{schema['name'].rpartition('.')[2]}.{field['name']}", "v")
        source = "\n    ".join([f"def {name}(record, add):", *lines])
        exec(compile(source, f"<{schema['name']}>", "exec"), self._names)  # noqa: S102 (our own text)
        return name

    def _taken(self, field: dict[str, Any]) -> str:
        """An expression for the field's value in `record`."""
        if "default" not in field:
            return f"record[{field['name']!r}]"
        if field["default"] is None:
            return f"get({field['name']!r})"
        return f"get({field['name']!r}, {self._constant(field['default'])})"

    def _value(self, schema: Any, path: str, v: str) -> list[str]:
        """Lines that append the value in the variable `v`."""
        if isinstance(schema, list):
            return self._nullable(schema, path, v)
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(schema, dict) and schema.get("logicalType", "timestamp-millis") not in TIMES:
            raise _Unknown
        bad = f"raise Unencodable({f'{path} must be of type {kind}'!r})"
        if kind in LIMITS:
            low, high = LIMITS[kind]
            return [
                f"if type({v}) is not int or not {low} <= {v} <= {high}: {bad}",
                f"add(SMALL[{v}] if 0 <= {v} < {len(_SMALL)} else varint({v}))",
            ]
        if kind in ("string", "bytes"):
            encoded = f"{v}.encode()" if kind == "string" else v
            return [
                f"if type({v}) is not {'str' if kind == 'string' else 'bytes'}: {bad}",
                f"b = {encoded}; n = len(b)",
                f"add(SMALL[n] if n < {len(_SMALL)} else varint(n)); add(b)",
            ]
        if kind == "boolean":
            return [f"if type({v}) is not bool: {bad}", f"add(b'\\1' if {v} else b'\\0')"]
        if kind == "null":
            return [f"if {v} is not None: {bad}"]
        if kind in ("float", "double"):
            return [f"if type({v}) not in (float, int): {bad}", f"add(pack_{kind}({v}))"]
        if kind == "fixed":
            return [f"if type({v}) is not bytes or len({v}) != {schema['size']}: {bad}", f"add({v})"]
        if kind == "enum":
            symbols = self._constant({symbol: varint(i) for i, symbol in enumerate(schema["symbols"])})
            return [f"if type({v}) is not str or {v} not in {symbols}: {bad}", f"add({symbols}[{v}])"]
        if kind == "array":
            item = self._new("v")
            return [
                f"if type({v}) not in (list, tuple): {bad}",
                f"if {v}: add(varint(len({v})))",
                *(f"for {item} in {v}:", *_indented(self._value(schema["items"], f"{path}[]", item) or ["pass"])),
                "add(b'\\0')",
            ]
        if kind == "map":
            key, item = self._new("v"), self._new("v")
            return [
                f"if type({v}) is not dict: {bad}",
                f"if {v}: add(varint(len({v})))",
                f"for {key}, {item} in {v}.items():",
                *_indented(
                    [*self._value("string", f"{path}'s key", key), *self._value(schema["values"], f"{path}{{}}", item)]
                ),
                "add(b'\\0')",
            ]
        if kind == "record" or kind in self._functions:
            function = self._function(schema) if isinstance(schema, dict) else self._functions[kind]
            return [f"if type({v}) is not dict: {bad}", f"{function}({v}, add)"]
        raise _Unknown

    def _nullable(self, union: list[Any], path: str, v: str) -> list[str]:
        if len(union) != 2 or union.count("null") != 1:
            raise _Unknown
        null_first = union[0] == "null"
        null, present = (b"\0", b"\2") if null_first else (b"\2", b"\0")
        lines = self._value(union[1] if null_first else union[0], path, v)
        if null_first and lines[-1].startswith("add(SMALL["):  # one piece for the branch and what begins the value
            lines[-1] = (
                lines[-1].replace("SMALL[", "SMALL_PRESENT[", 1).replace("else varint(", "else b'\\2' + varint(", 1)
            )
        else:
            lines.insert(0, f"add({present!r})")
        return [f"if {v} is None: add({null!r})", "else:", *_indented(lines)]

    def _constant(self, value: Any) -> str:
        name = self._new("constant")
        self._names[name] = value
        return name

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{what}_{self._count}"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _by_fastavro(parsed: Any) -> Writer:
    def write(record: Mapping[str, Any]) -> bytes:
        out = io.BytesIO()
        try:
            fastavro.schemaless_writer(out, parsed, record, strict_allow_default=True)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise Unencodable(f"a value does not fit the schema: {type(error).__name__}") from error
        return out.getvalue()

    return write
