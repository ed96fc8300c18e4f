"""Count dead letters by code, source and field."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.track_event import iso
from sternpost.operations.dead_letters.index import DeadLetterEntry, GroupKey


class DeadLetterGroup(NamedTuple):
    """The dead letters with one code, source and field."""

    key: GroupKey
    letters: int
    first_ms: int
    """When the first of them failed, in Unix milliseconds."""
    last_ms: int
    """When the last of them failed, in Unix milliseconds."""

    def as_json(self) -> dict[str, Any]:
        """Return the group as JSON for scripts."""
        return {
            **self.key._asdict(),
            "letters": self.letters,
            "first": iso(self.first_ms),
            "last": iso(self.last_ms),
        }


def summarize(letters: Iterable[DeadLetterEntry]) -> list[DeadLetterGroup]:
    """Return the groups, the largest first."""
    groups: dict[GroupKey, DeadLetterGroup] = {}
    for letter in letters:
        at = letter.failed_at_ms
        group = groups.get(letter.group) or DeadLetterGroup(letter.group, 0, at, at)
        groups[letter.group] = group._replace(
            letters=group.letters + 1, first_ms=min(group.first_ms, at), last_ms=max(group.last_ms, at)
        )
    return sorted(groups.values(), key=lambda group: (-group.letters, *map(str, group.key)))
