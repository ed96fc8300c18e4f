"""Flat records: a value in a nested record is stored by its path, such as `context.traits.email`."""

from collections.abc import Mapping
from typing import Any


def unflatten(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the nested record of a flat one: {"a.b": 1, "c": 2} becomes {"a": {"b": 1}, "c": 2}.

    Raises ValueError if a path is both a value and a record.
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
