"""Records laid flat: what a record within a record holds stands under its path, as `context.traits.email`."""

from collections.abc import Mapping
from typing import Any


def nested(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    """The record with its records in it: {"a.b": 1, "c": 2} is {"a": {"b": 1}, "c": 2}.

    Raises ValueError where something is there both as a whole and in parts.
    """
    record: dict[Any, Any] = {}
    holders = {"": record}

    def put(holder: dict[Any, Any], name: Any, value: Any) -> None:
        if name in holder:
            raise ValueError("has a field both as a whole and in parts")
        holder[name] = value

    def holder_of(way: str) -> dict[Any, Any]:
        if way not in holders:
            before, _, name = way.rpartition(".")
            holder: dict[Any, Any] = {}
            put(holder_of(before), name, holder)
            holders[way] = holder
        return holders[way]

    for path, value in fields.items():
        way, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", path)
        put(holder_of(way), name, value)
    return record
