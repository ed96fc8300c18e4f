"""Count dead letters by code and source: the newest of them if there are very many."""

from collections import Counter
from typing import Any, NamedTuple

from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.operations.dead_letters.index import DeadLetterIndex, sum_by_code
from sternpost.operations.dead_letters.selection import Selection, scan

MOST = 100_000
"""Records that one count reads, so that it takes seconds whatever the topic holds."""

_ALL = Selection()


class DeadLetterCounts(NamedTuple):
    """The numbers of dead letters."""

    by_code_and_source: Counter[tuple[str, str]]
    """Those that were not sent back."""
    redriven: int
    """Those that were sent back."""
    complete: bool
    """Whether all were read, and not only the newest."""

    def by_code(self) -> Counter[str]:
        """Count those that were not sent back by code."""
        return sum_by_code(self.by_code_and_source)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON for scripts."""
        by_source: dict[str, dict[str, int]] = {}
        for (code, source), number in self.by_code_and_source.items():
            by_source.setdefault(source, {})[code] = number
        return {
            "open": self.by_code_and_source.total(),
            "by_code": dict(self.by_code()),
            "by_source": by_source,
            "redriven": self.redriven,
            "complete": self.complete,
        }


class DeadLetterCounter:
    """Counts the dead letters as often as asked, and reads each record once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._letters = DeadLetterIndex()
        self._read_up_to: dict[int, int] = {}
        self._complete = True

    def count(self) -> DeadLetterCounts:
        """Read what is new, and return the counts. Raises DependencyError."""
        ranges = []
        readable = range_consumer.readable_ranges(self._settings, self._settings.topics.dead_letters)
        for there in readable:
            new = there._replace(start=max(there.start, self._read_up_to.get(there.partition, 0)))
            newest = max(new.start, new.end - MOST // len(readable))
            self._complete &= newest == new.start
            ranges.append(new._replace(start=newest))
        for _ in scan(self._settings, ranges, self._letters, _ALL):
            pass
        self._read_up_to = {offset_range.partition: offset_range.end for offset_range in ranges}
        still_there = self._letters.where(lambda letter: not letter.redriven)
        return DeadLetterCounts(still_there.by_code_and_source(), len(self._letters) - len(still_there), self._complete)
