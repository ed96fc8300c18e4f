"""Sternpost: the command line, the local stack, and the mapping for programs of others.

What other programs may use is named in `__all__` and described in docs/python-api.md; semantic versioning covers it.
It is imported when it is first used, so that the command line does not wait for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sternpost.mapping import DeadLetter, Event, Mapper, Origin, event_schema

__all__ = ["DeadLetter", "Event", "Mapper", "Origin", "event_schema"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'sternpost' has no attribute {name!r}")
    from sternpost import mapping  # noqa: PLC0415 (see above)

    return getattr(mapping, name)
