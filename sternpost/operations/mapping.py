"""The mapping as a table that can be searched."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.mapping import tables
from schemas.mapping.tables import EventRow, FieldRow


class MappingRows(NamedTuple):
    """Rows of the mapping, of both profiles."""

    events: list[EventRow]
    fields: list[FieldRow]

    def as_json(self) -> dict[str, Any]:
        """Return the rows as JSON for scripts."""
        return {
            "events": [row._asdict() for row in self.events],
            "fields": [row._asdict() for row in self.fields],
        }


def find_rows(words: Sequence[str] = ()) -> MappingRows:
    """Return the rows that hold each of the words anywhere, in any case; all rows without words."""
    wanted = [word.casefold() for word in words]
    return MappingRows(
        [row for row in tables.events() if _holds(row, wanted)], [row for row in tables.fields() if _holds(row, wanted)]
    )


def _holds(row: EventRow | FieldRow, words: list[str]) -> bool:
    text = "\n".join(value if isinstance(value, str) else "\n".join(value) for value in row).casefold()
    return all(word in text for word in words)
