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
from collections.abc import Callable, Mapping
from typing import Any

import fastavro

from schemas.avro_compiler import Compiler
from schemas.avro_misfit import Misfit, Names, find_misfit
from schemas.avro_shapes import ShapeCompiler
from schemas.paths import nested


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
        self._general = Compiler(self._names).piece(self._schema)
        self._shapes = ShapeCompiler(self._names).shapes(self._schema, self._constants)

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
