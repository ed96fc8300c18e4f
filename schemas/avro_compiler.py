"""Writes and compiles the functions that encode the values of one schema, whatever record they are in.

They look at each value: at nulls, at text that is not ASCII, at lengths beyond the usual.
"""

import struct
from collections.abc import Callable
from typing import Any

from schemas.avro_misfit import BITS, Names, find_misfit
from schemas.avro_numbers import HIGH, LOW, SIZES, SMALL, Integers, varint

Piece = Callable[[Any], str]
"""Encodes the values of one schema. Raises whatever comes up where a value is not of the usual Python type."""


class Compiler:
    """Writes and compiles the functions of one schema.

    What they refer to (tables, other functions) has a name in their common scope.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._scope: dict[str, Any] = {
            "join": "".join,
            "latin": _latin,
            "varint": varint,
            "wrong": _wrong,
            "low": LOW,
            "high": HIGH,
        }
        self._known: dict[tuple[object, ...], str] = {}

    def piece(self, schema: Any) -> Piece:
        """The function for the values of any schema."""
        lines, parts = self._value(schema, "v")
        return self._compiled("v", [*lines, joined(parts)])

    def _record(self, schema: dict[str, Any], v: str) -> str:
        """An expression that encodes the record in the variable `v`."""
        return f"{self._shared(lambda: self._general(schema), id(schema))}({v})"

    def _general(self, schema: dict[str, Any]) -> Piece:
        """The function for records with any keys."""
        lines, parts = ["record.get"], []  # fails for what is no record, if it has no fields too
        for index, field in enumerate(schema["fields"]):
            preparing, encoded = self._value(field["type"], f"v{index}")
            lines += [f"v{index} = {self._taken(field)}", *preparing]
            parts += encoded
        return self._compiled("record", [*lines, joined(parts)])

    def _taken(self, field: dict[str, Any]) -> str:
        """An expression for the field's value in a record that may lack it."""
        if "default" not in field:
            return f"record[{field['name']!r}]"
        if field["default"] is None:
            return f"record.get({field['name']!r})"
        default = self._shared(lambda: self._default(field["type"], field["default"]), "default", id(field))
        return f"record.get({field['name']!r}, {default})"

    def _value(self, schema: Any, v: str) -> tuple[list[str], list[str]]:
        """Lines that prepare the value in the variable `v`, and expressions for the parts that then encode it."""
        prefix, null, schema = nullable(schema)
        if kind_of(schema) == "string":
            lines = [
                f"if not {v}.isascii(): {v} = latin({v})",
                f"n = len({v}); n_{v} = {self._sizes(prefix)}[n] if n < {SMALL} else {prefix!r} + varint(n)",
            ]
            if null is not None:
                lines = [f"if {v} is None: n_{v} = {null!r}; {v} = ''", "else:", *indented(lines)]
            return lines, [f"n_{v}", v]
        encoded = self._expression(schema, v, prefix)
        return [], [encoded if null is None else f"({null!r} if {v} is None else {encoded})"]

    def _sizes(self, prefix: str) -> str:
        return self._shared(lambda: SIZES[prefix], "sizes", prefix)

    def _expression(self, schema: Any, v: str, prefix: str) -> str:
        """An expression that encodes the value in the variable `v`, `prefix` before it."""
        kind = kind_of(schema)
        if kind in self._names:
            schema = self._names[kind]
            kind = schema["type"]
        match kind:
            case "null":
                return f"({prefix!r} if {v} is None else wrong())"
            case "boolean":
                return (
                    f"({prefix + varint(-1)!r} if {v} is True else {prefix + varint(0)!r} if {v} is False else wrong())"
                )
            case "int" | "long":
                table = self._shared(lambda: Integers(BITS[kind], prefix), kind, prefix)
                return f"({table}[{v}] if type({v}) is int else wrong())"
            case "enum":
                symbols = {symbol: prefix + varint(index) for index, symbol in enumerate(schema["symbols"])}
                return f"{self._shared(lambda: symbols, id(schema), prefix)}[{v}]"
            case "record" | "error":
                call = self._record(schema, v)
            case _:
                call = f"{self._shared(lambda: self._other(kind, schema), kind, id(schema))}({v})"
        return f"{prefix!r} + {call}" if prefix else call

    def _other(self, kind: str, schema: Any) -> Piece:
        match kind:
            case "union":
                return self._union(schema)
            case "array":
                return self._repeated("list", "x", [self._value(schema["items"], "x")])
            case "map":
                return self._repeated("dict", "k, x", [self._value("string", "k"), self._value(schema["values"], "x")])
            case "bytes":
                return _bytes
            case "fixed":
                return _fixed(schema["size"])
            case "float" | "double":
                return _real(struct.Struct("<f" if kind == "float" else "<d"))
        return _wrong  # fastavro may know the type

    def _repeated(self, container: str, variables: str, values: list[tuple[list[str], list[str]]]) -> Piece:
        """An array's or a map's function."""
        lines = [line for lines, _ in values for line in lines]
        parts = [part for _, parts in values for part in parts]
        counts = self._shared(lambda: Integers(BITS["long"], ""), "long", "")
        return self._compiled(
            "v",
            [
                f"if type(v) is not {container}: wrong()",
                "if not v: return '\\0'",
                f"parts = [{counts}[len(v)]]",
                f"for {variables} in v{'.items()' if container == 'dict' else ''}:",
                *indented([*lines, f"parts += ({', '.join(parts)},)"]),
                "parts.append('\\0')",
                "return join(parts)",
            ],
        )

    def _union(self, branches: list[Any]) -> Piece:
        """A general union's function. Which branch a value takes is fastavro's rule, since readers have seen it so."""
        pieces = [self.piece(branch) for branch in branches]
        full = [self._names.get(kind_of(branch), branch) for branch in branches]
        kinds = [kind_of(branch) for branch in full]
        by_type = {python: [index for index, kind in enumerate(kinds) if kind in _KINDS[python]] for python in _KINDS}

        def choose(value: Any, candidates: list[int]) -> int:
            best, most = -1, -1
            for index in candidates:
                if best >= 0 and kinds[best] == "float":
                    if kinds[index] == "double":
                        return index
                elif find_misfit(full[index], self._names, value) is None:
                    if kinds[index] in ("record", "error"):
                        shared = sum(field["name"] in value for field in full[index]["fields"])
                        best, most = (index, shared) if shared > most else (best, most)
                    elif kinds[index] == "float":
                        best = index
                    else:
                        return index
            return best

        def encode(value: Any) -> str:
            candidates = by_type[type(value)]
            index = candidates[0] if len(candidates) == 1 else choose(value, candidates)
            return varint(index) + pieces[index](value) if index >= 0 else _wrong(value)

        return encode

    def _default(self, schema: Any, value: Any) -> Any:
        """A default as Python has it: JSON writes bytes as text, and numbers that it lacks too."""
        kind = kind_of(schema)
        schema = self._names.get(kind, schema)
        match kind_of(schema):
            case "union":
                for branch in schema:
                    converted = self._default(branch, value)
                    if find_misfit(branch, self._names, converted) is None:
                        return converted
            case "bytes" | "fixed" if isinstance(value, str):
                return value.encode("latin-1")
            case "float" | "double" if isinstance(value, str):
                return float(value)
            case "array" if isinstance(value, list):
                return [self._default(schema["items"], item) for item in value]
            case "map" if isinstance(value, dict):
                return {key: self._default(schema["values"], item) for key, item in value.items()}
            case "record" if isinstance(value, dict):
                types = {field["name"]: field["type"] for field in schema["fields"]}
                return {key: self._default(types[key], item) for key, item in value.items()}
        return value

    def _shared(self, make: Callable[[], Any], *key: object) -> str:
        """The name of an object that the functions use, made when it is first asked for."""
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = f"c{len(self._known)}"
            self._scope[name] = make()
        return name

    def _compiled(self, parameter: str, lines: list[str]) -> Piece:
        source = "\n".join([f"def encode({parameter}):", *indented(lines)])
        made: dict[str, Piece] = {}
        exec(compile(source, "<avro writer>", "exec"), self._scope, made)  # noqa: S102 (our own text)
        return made["encode"]


_KINDS: dict[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("int", "long", "float", "double"),
    float: ("float", "double"),
    str: ("string", "enum"),
    bytes: ("bytes", "fixed"),
    list: ("array",),
    dict: ("map", "record", "error"),
}
"""What a value of a Python type may be in a union."""


def kind_of(schema: Any) -> str:
    """The type, or a named type's name."""
    kind: str = schema if isinstance(schema, str) else "union" if isinstance(schema, list) else schema["type"]
    return kind


def nullable(schema: Any) -> tuple[str, str | None, Any]:
    """Of a schema that null is one of two branches of: what goes before a value, what is written for null, and the
    other branch. Of any other: nothing, None, and itself."""
    if isinstance(schema, list) and len(schema) == 2 and schema.count("null") == 1:
        return ("\2", "\0", schema[1]) if schema[0] == "null" else ("\0", "\2", schema[0])
    return "", None, schema


def joined(parts: list[str]) -> str:
    """The line that returns the parts as one text."""
    return f"return join(({', '.join(parts)},))" if len(parts) > 1 else f"return {parts[0] if parts else repr('')}"


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _latin(text: str) -> str:
    return text.encode().decode("latin-1")


def _wrong(value: Any = None) -> str:
    raise TypeError


def _bytes(value: Any) -> str:
    return varint(len(value)) + value.decode("latin-1") if type(value) is bytes else _wrong()


def _fixed(size: int) -> Piece:
    return lambda value: value.decode("latin-1") if type(value) is bytes and len(value) == size else _wrong()


def _real(number: struct.Struct) -> Piece:
    return lambda value: number.pack(value).decode("latin-1") if type(value) in (float, int) else _wrong()
