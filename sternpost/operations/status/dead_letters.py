"""How many dead letters there are, by code and source: of the newest, if there are very many."""

import collections
from typing import Any, NamedTuple

from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.operations.dead_letters.index import DeadLetterIndex
from sternpost.operations.dead_letters.letter import letter_of, redriven_position

MOST = 100_000
"""Records that are read at a look, so that a look takes seconds whatever the topic holds."""


class DeadLetters(NamedTuple):
    by_code_and_source: collections.Counter[tuple[str, str]]
    """Those that were not sent back."""
    redriven: int
    """Those that were."""
    complete: bool
    """Whether all were read, and not the newest alone."""

    def by_code(self) -> collections.Counter[str]:
        """Those that were not sent back, of all sources."""
        counts: collections.Counter[str] = collections.Counter()
        for (code, _), number in self.by_code_and_source.items():
            counts[code] += number
        return counts

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
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
    """Reads nothing twice."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._letters = DeadLetterIndex()
        self._read_up_to: dict[int, int] = {}
        self._complete = True

    def count(self) -> DeadLetters:
        """Raises DependencyError."""
        topic = self._settings.topics.dead_letters
        spans = []
        kept = range_consumer.readable_ranges(self._settings, topic)
        for span in kept:
            new = span._replace(start=max(span.start, self._read_up_to.get(span.partition, 0)))
            newest = max(new.start, new.end - MOST // len(kept))
            self._complete &= newest == new.start
            spans.append(new._replace(start=newest))
        for messages in range_consumer.read_ranges(self._settings, topic, spans):
            for message in messages:
                if (letter := letter_of(message)) is not None:
                    self._letters.add(letter)
                elif (position := redriven_position(message)) is not None:
                    self._letters.mark_redriven(*position)
        self._read_up_to = {span.partition: span.end for span in spans}
        still_there = self._letters.where(lambda letter: not letter.redriven)
        return DeadLetters(still_there.by_code_and_source(), len(self._letters) - len(still_there), self._complete)
