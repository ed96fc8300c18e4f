"""Count dead letters by code and source: the newest of them if there are very many."""

from collections import Counter
from typing import Any, NamedTuple

from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin
from runtime.settings.model import Settings
from sternpost.operations.dead_letters.index import DeadLetterIndex, sum_by_code
from sternpost.operations.dead_letters.selection import Selection, scan

MOST = 100_000
"""Records that one count reads, and dead letters that it counts, so that it takes seconds whatever the topic holds."""

_ALL = Selection()


class DeadLetterCounts(NamedTuple):
    """The numbers of dead letters."""

    by_code_and_source: Counter[tuple[str, str]]
    """Those that were not sent back."""
    redriven: int
    """Those that were sent back."""
    complete: bool
    """Whether all were counted, and not only the newest."""

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
        self._counted: dict[int, tuple[int, int]] = {}
        """The first and the next offset of each partition: what is between them was counted."""

    def count(self, admin: KafkaAdmin | None = None) -> DeadLetterCounts:
        """Read what is new, forget what is gone from the topic, and return the counts. Raises DependencyError."""
        readable = range_consumer.readable_ranges(self._settings, self._settings.topics.dead_letters, admin=admin)
        most = MOST // len(readable)
        unread = []
        for there in readable:
            first, after = self._counted.get(there.partition, (there.start, there.start))
            if there.end < after:  # the topic was made anew, or brokers lost its end
                self._letters.forget_before(there.partition, after)
                first = after = there.start
            newest = max(after, there.start, there.end - most)
            if newest > after:
                first = newest
            self._letters.forget_before(there.partition, max(first, there.start))
            self._counted[there.partition] = first, there.end
            unread.append(there._replace(start=newest))
        try:
            for _ in scan(self._settings, unread, self._letters, _ALL):
                pass
        except BaseException:  # only a part of it was read: begin anew next time
            self._letters, self._counted = DeadLetterIndex(), {}
            raise
        for there in readable:
            first, after = self._counted[there.partition]
            self._counted[there.partition] = max(first, self._letters.forget_oldest(there.partition, most)), after
        found = self._letters.open_by_code_and_source()
        complete = all(self._counted[there.partition][0] <= there.start for there in readable)
        return DeadLetterCounts(found, len(self._letters) - found.total(), complete)
