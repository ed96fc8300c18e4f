"""Writes and compiles functions for records of one shape: the keys that are there, in their order.

The values go to them as arguments. They take what is usual, and raise for everything else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.avro_compiler import Compiler, indented, joined, kind_of, nullable
from schemas.avro_misfit import Names
from schemas.avro_numbers import LOW, LOW_BITS

MAX_SHAPES = 1_024
"""Shapes of one record that get a function of their own; what comes in yet another is written by the general one."""


class Shapes(dict[tuple[object, ...], Callable[..., str]]):
    """The functions of one record, by shape; made when a shape is first met."""

    def __init__(self, specialise: Callable[[tuple[object, ...]], Callable[..., str]]) -> None:
        self._specialise = specialise

    def __missing__(self, keys: tuple[object, ...]) -> Callable[..., str]:
        if len(self) >= MAX_SHAPES:
            raise LookupError
        function = self[keys] = self._specialise(keys)
        return function


class ShapeCompiler(Compiler):
    """Writes and compiles functions for records of one shape, with the values as arguments."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self._general_compiler = Compiler(names)
        self._defaults: dict[int, str] = {}

    def shapes(self, schema: Any, constants: Mapping[str, Any]) -> Shapes:
        """The functions of the outermost record, which may be flat."""
        return Shapes(lambda keys: self._shape(schema, keys, keys, constants))

    def _record(self, schema: dict[str, Any], v: str) -> str:
        def shapes() -> Shapes:
            return Shapes(lambda keys: self._shape(schema, keys, [key for key in keys if "." not in str(key)], {}))

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
            lines += indented([f"if not {v}.isascii(): {v} = latin({v})" for v in texts])
        return self._compiled(", ".join(variables.values()), [*lines, joined(parts.expressions())])

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
            prefix, _, plain = nullable(field["type"])
            if path in given:
                if within:
                    raise ValueError
                v = given[path]
                if kind_of(plain) == "string":
                    texts.append(v)
                    parts.add(f"{self._sizes(prefix)}[len({v})]", v)
                elif _is_time(plain):
                    parts.add_constant(prefix)
                    parts.add(f"low[{v} & {len(LOW) - 1}]", f"high[{v} >> {LOW_BITS}]")
                else:
                    parts.add(self._expression(plain, v, prefix))
            elif within:
                record = self._names.get(kind_of(plain), plain)
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


def _is_time(schema: Any) -> bool:
    return isinstance(schema, dict) and schema["type"] == "long" and "logicalType" in schema
