"""Dead letters counted by what they have in common."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.customerio.timestamps import iso
from sternpost.operations.dead_letters.index import DeadLetterEntry, GroupKey


class Group(NamedTuple):
    """Letters of one kind."""

    kind: GroupKey
    letters: int
    first_ms: int
    """When the first of them failed, Unix milliseconds."""
    last_ms: int

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            **self.kind._asdict(),
            "letters": self.letters,
            "first": iso(self.first_ms),
            "last": iso(self.last_ms),
        }


def summary(letters: Iterable[DeadLetterEntry]) -> list[Group]:
    """The groups, largest first."""
    groups: dict[GroupKey, Group] = {}
    for letter in letters:
        at = letter.failed_at_ms
        group = groups.get(letter.kind) or Group(letter.kind, 0, at, at)
        groups[letter.kind] = group._replace(
            letters=group.letters + 1, first_ms=min(group.first_ms, at), last_ms=max(group.last_ms, at)
        )
    return sorted(groups.values(), key=lambda group: (-group.letters, *map(str, group.kind)))
