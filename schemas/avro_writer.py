"""Avro's binary encoding, by functions written for one schema.

A general writer finds out anew for each value what its schema asks for; most of its time goes into choosing branches of
unions. Here that is done once: `Writer` turns the schema into the source of Python functions and compiles it.
Three things make them fast:

- Records come in few shapes, a shape being the keys that are there, in their order. Each gets a function of its own, to
  which the values go as arguments: no key is looked up, and all that is absent or constant, one field after the other,
  is one constant.
- Records may come flat, what is in their records under its path: then one shape holds for all of it.
- Bytes are put together as text of the characters U+0000 to U+00FF, and encoded as Latin-1 at the very end. ASCII text
  is its own UTF-8, so nearly all strings go in as they are, and one `"".join` makes a record.
- The encodings of integers and of lengths are remembered: ids and times come again and again.

The functions write the right bytes, or raise. A shape's take what is usual, and raise for everything else: a null, a
text of thousands of characters. Then a general function is asked, which looks at each value. Where it raises too,
`schemas.avro_misfit` tells which field does not fit; where all fit (a datetime for a timestamp, a mapping that is no
dict …), fastavro writes the record. It also stays the parser, the reader, and the oracle that this is tested against.
"""

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fastavro

from schemas.avro_misfit import BITS, Misfit, Names, find_misfit
from schemas.paths import nested

Piece = Callable[[Any], str]
"""Encodes the values of one schema. Raises whatever comes up where a value is not of the usual Python type."""

MAX_REMEMBERED = 16_384
"""Integers whose encoding is remembered, before all are forgotten."""


MAX_SHAPES = 1_024
"""Shapes of one record that get a function of their own; what comes in yet another is written by the general one."""


class Unencodable(ValueError):
    """A value does not fit the schema. `path` is the field's; the message says what it should be, quoting nothing."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the record'} {problem}")
        self.path = path


class Writer:
    """Writes records of one schema: bytes equal to fastavro's for every record that fits."""

    def __init__(self, schema: dict[str, Any], constants: Mapping[str, Any] | None = None) -> None:
        """`constants`: values of fields by their paths, for records that do not give them."""
        self._names: dict[str, Any] = {}
        self._schema: Any = fastavro.parse_schema(schema, self._names)
        self._constants = constants or {}
        self._general = _Compiler(self._names).piece(self._schema)
        self._shapes = _ShapeCompiler(self._names).shapes(self._schema, self._constants)

    def __call__(self, record: Mapping[str, Any]) -> bytes:
        """What a record within the record holds may stand under its path (see `schemas.paths`). What a record has not
        got is its constant, else its default; keys that the schema has not got are passed over. Timestamps are
        integers, or datetimes. Raises Unencodable; nothing is written that the schema forbids.
        """
        try:
            return self._shapes[tuple(record)](*record.values()).encode("latin-1")
        except Exception:
            return self._write_any(record)

    def function(self, paths: tuple[str, ...]) -> Callable[..., str]:
        """Encodes the values of these fields, a character a byte.

        It takes just what is usual, integers for integers and text for text, and raises whatever comes up for any other
        value. Raises KeyError where other fields must be there, LookupError where there were too many sets of fields.
        """
        return self._shapes[paths]

    def _write_any(self, record: Mapping[str, Any]) -> bytes:
        if isinstance(record, Mapping):
            try:
                record = nested({**self._constants, **record})
            except ValueError as clash:
                raise Unencodable("", str(clash)) from None
        try:
            return self._general(record).encode("latin-1")
        except Exception:
            return _write_slowly(self._schema, self._names, record)


def _write_slowly(parsed: Any, names: Names, record: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    try:
        misfit = find_misfit(parsed, names, record)
        if misfit is None:
            fastavro.schemaless_writer(out, parsed, record, disable_tuple_notation=True)
    except RecursionError:
        misfit = Misfit("", "is nested too deeply")
    except Exception as error:  # its text may quote the value
        misfit = Misfit("", f"cannot be written: {type(error).__name__}")
    if misfit:
        raise Unencodable(*misfit)
    return out.getvalue()


def varint(number: int) -> str:
    """Zig-zag variable-length encoding of an integer of up to 64 bits, a character a byte."""
    return _unsigned((number << 1) ^ (number >> 63))


def _unsigned(number: int) -> str:
    out = ""
    while number > 0x7F:
        out += chr(number & 0x7F | 0x80)
        number >>= 7
    return out + chr(number)


_LOW_BITS = 13
_LOW = [chr(n << 1 & 0x7F | 0x80) + chr(n >> 6 | 0x80) for n in range(1 << _LOW_BITS)]
"""For each value of a positive integer's low bits the first two bytes of its encoding, where more follow."""


class _High(dict[int, str]):
    """For each value of the bits above these, not zero, what follows the first two bytes.

    Times of receipt are new in each record, and differ in their low bits from those before.
    """

    def __missing__(self, bits: int) -> str:
        if not 0 < bits < 1 << 63 - _LOW_BITS:
            raise OverflowError
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        encoded = self[bits] = _unsigned(bits)
        return encoded


_HIGH = _High()


class _Integers(dict[int, str]):
    """Encodings of the integers of one type, each after `prefix`."""

    def __init__(self, bits: int, prefix: str) -> None:
        self._end, self._prefix = 1 << bits - 1, prefix

    def __missing__(self, number: int) -> str:
        if not -self._end <= number < self._end:
            raise OverflowError
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        encoded = self[number] = self._prefix + varint(number)
        return encoded


class _Shapes(dict[tuple[object, ...], Callable[..., str]]):
    """The functions of one record, by shape; made when a shape is first met."""

    def __init__(self, specialise: Callable[[tuple[object, ...]], Callable[..., str]]) -> None:
        self._specialise = specialise

    def __missing__(self, keys: tuple[object, ...]) -> Callable[..., str]:
        if len(self) >= MAX_SHAPES:
            raise LookupError
        function = self[keys] = self._specialise(keys)
        return function


_SMALL = 4_096
_SIZES = {prefix: [prefix + varint(n) for n in range(_SMALL)] for prefix in ("", "\0", "\2")}
"""Lengths, as they mostly are, after a union's index or nothing."""


class _Compiler:
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
            "low": _LOW,
            "high": _HIGH,
        }
        self._known: dict[tuple[object, ...], str] = {}

    def piece(self, schema: Any) -> Piece:
        """The function for the values of any schema."""
        lines, parts = self._value(schema, "v")
        return self._compiled("v", [*lines, _joined(parts)])

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
        return self._compiled("record", [*lines, _joined(parts)])

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
        prefix, null, schema = _nullable(schema)
        if _kind(schema) == "string":
            lines = [
                f"if not {v}.isascii(): {v} = latin({v})",
                f"n = len({v}); n_{v} = {self._sizes(prefix)}[n] if n < {_SMALL} else {prefix!r} + varint(n)",
            ]
            if null is not None:
                lines = [f"if {v} is None: n_{v} = {null!r}; {v} = ''", "else:", *_indented(lines)]
            return lines, [f"n_{v}", v]
        encoded = self._expression(schema, v, prefix)
        return [], [encoded if null is None else f"({null!r} if {v} is None else {encoded})"]

    def _sizes(self, prefix: str) -> str:
        return self._shared(lambda: _SIZES[prefix], "sizes", prefix)

    def _expression(self, schema: Any, v: str, prefix: str) -> str:
        """An expression that encodes the value in the variable `v`, `prefix` before it."""
        kind = _kind(schema)
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
                table = self._shared(lambda: _Integers(BITS[kind], prefix), kind, prefix)
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
        counts = self._shared(lambda: _Integers(BITS["long"], ""), "long", "")
        return self._compiled(
            "v",
            [
                f"if type(v) is not {container}: wrong()",
                "if not v: return '\\0'",
                f"parts = [{counts}[len(v)]]",
                f"for {variables} in v{'.items()' if container == 'dict' else ''}:",
                *_indented([*lines, f"parts += ({', '.join(parts)},)"]),
                "parts.append('\\0')",
                "return join(parts)",
            ],
        )

    def _union(self, branches: list[Any]) -> Piece:
        """A general union's function. Which branch a value takes is fastavro's rule, since readers have seen it so."""
        pieces = [self.piece(branch) for branch in branches]
        full = [self._names.get(_kind(branch), branch) for branch in branches]
        kinds = [_kind(branch) for branch in full]
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
        kind = _kind(schema)
        schema = self._names.get(kind, schema)
        match _kind(schema):
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
        source = "\n".join([f"def encode({parameter}):", *_indented(lines)])
        made: dict[str, Piece] = {}
        exec(compile(source, "<avro writer>", "exec"), self._scope, made)  # noqa: S102 (our own text)
        return made["encode"]


class _ShapeCompiler(_Compiler):
    """Writes and compiles functions for records of one shape, with the values as arguments."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self._general_compiler = _Compiler(names)
        self._defaults: dict[int, str] = {}

    def shapes(self, schema: Any, constants: Mapping[str, Any]) -> _Shapes:
        """The functions of the outermost record, which may be flat."""
        return _Shapes(lambda keys: self._shape(schema, keys, keys, constants))

    def _record(self, schema: dict[str, Any], v: str) -> str:
        def shapes() -> _Shapes:
            return _Shapes(lambda keys: self._shape(schema, keys, [key for key in keys if "." not in str(key)], {}))

        return f"{self._shared(shapes, id(schema))}[tuple({v})](*{v}.values())"

    def _shape(
        self,
        schema: Any,
        keys: tuple[object, ...],
        paths: Sequence[object],
        constants: Mapping[str, Any],
    ) -> Callable[..., str]:
        """The function for records that have these keys, in this order, of which `paths` may lead to fields."""
        variables = {key: f"v{index}" for index, key in enumerate(keys)}
        given = {path: variables[path] for path in paths if type(path) is str}
        parts = _Parts()
        texts: list[str] = []
        self._fields(schema, "", given, constants, parts, texts)
        lines = []
        if texts:
            lines = [f"if not ({' and '.join(f'{v}.isascii()' for v in texts)}):"]
            lines += _indented([f"if not {v}.isascii(): {v} = latin({v})" for v in texts])
        return self._compiled(", ".join(variables.values()), [*lines, _joined(parts.expressions())])

    def _fields(
        self,
        schema: dict[str, Any],
        at: str,
        given: Mapping[str, str],
        constants: Mapping[str, Any],
        parts: "_Parts",
        texts: list[str],
    ) -> None:
        """Adds what encodes the record at the path `at`, and which variables must hold text. `given`: path → variable.

        Raises KeyError where a field is missing, ValueError where one is given both as a whole and in parts."""
        for field in schema["fields"]:
            path = at + field["name"]
            within = any(other.startswith(f"{path}.") for other in (*given, *constants))
            prefix, _, plain = _nullable(field["type"])
            if path in given:
                if within:
                    raise ValueError
                v = given[path]
                if _kind(plain) == "string":
                    texts.append(v)
                    parts.add(f"{self._sizes(prefix)}[len({v})]", v)
                elif _is_time(plain):
                    parts.add_constant(prefix)
                    parts.add(f"low[{v} & {len(_LOW) - 1}]", f"high[{v} >> {_LOW_BITS}]")
                else:
                    parts.add(self._expression(plain, v, prefix))
            elif within:
                record = self._names.get(_kind(plain), plain)
                parts.add_constant(prefix)
                self._fields(record, f"{path}.", given, constants, parts, texts)
            elif path in constants:
                parts.add_constant(self._general_compiler.piece(field["type"])(constants[path]))
            else:
                parts.add_constant(self._default_of(field))

    def _default_of(self, field: dict[str, Any]) -> str:
        """What is written where a record has not got the field. Raises KeyError where it must have it."""
        written = self._defaults.get(id(field))
        if written is None:
            default = self._default(field["type"], field["default"])
            written = self._defaults[id(field)] = self._general_compiler.piece(field["type"])(default)
        return written


class _Parts:
    """What a function joins; constants that follow each other as one."""

    def __init__(self) -> None:
        self._expressions: list[str] = []
        self._constant = ""

    def add(self, *expressions: str) -> None:
        self._expressions = [*self.expressions(), *expressions]
        self._constant = ""

    def add_constant(self, text: str) -> None:
        self._constant += text

    def expressions(self) -> list[str]:
        return [*self._expressions, repr(self._constant)] if self._constant else self._expressions


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


def _kind(schema: Any) -> str:
    """The type, or a named type's name."""
    kind: str = schema if isinstance(schema, str) else "union" if isinstance(schema, list) else schema["type"]
    return kind


def _is_time(schema: Any) -> bool:
    return isinstance(schema, dict) and schema["type"] == "long" and "logicalType" in schema


def _nullable(schema: Any) -> tuple[str, str | None, Any]:
    """Of a schema that null is one of two branches of: what goes before a value, what is written for null, and the
    other branch. Of any other: nothing, None, and itself."""
    if isinstance(schema, list) and len(schema) == 2 and schema.count("null") == 1:
        return ("\2", "\0", schema[1]) if schema[0] == "null" else ("\0", "\2", schema[0])
    return "", None, schema


def _joined(parts: list[str]) -> str:
    """The line that returns the parts as one text."""
    return f"return join(({', '.join(parts)},))" if len(parts) > 1 else f"return {parts[0] if parts else repr('')}"


def _indented(lines: list[str]) -> list[str]:
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
