"""Dead letters counted by what they have in common."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.timestamps import iso
from sternpost.dead_letters.letter import Letter


class Group(NamedTuple):
    """Letters of one code, source and field."""

    code: str
    source: str
    field: str | None
    letters: int
    first_ms: int
    """When the first of them failed, Unix milliseconds."""
    last_ms: int

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "code": self.code,
            "source": self.source,
            "field": self.field,
            "letters": self.letters,
            "first": iso(self.first_ms),
            "last": iso(self.last_ms),
        }


def summary(letters: Iterable[Letter]) -> list[Group]:
    """The groups, largest first."""
    groups: dict[tuple[str, str, str | None], Group] = {}
    for letter in letters:
        key, at = (letter.code, letter.source, letter.field), letter.failed_at_ms
        group = groups.get(key) or Group(*key, 0, at, at)
        groups[key] = group._replace(
            letters=group.letters + 1, first_ms=min(group.first_ms, at), last_ms=max(group.last_ms, at)
        )
    return sorted(groups.values(), key=lambda group: (-group.letters, group.code, group.source, group.field or ""))
