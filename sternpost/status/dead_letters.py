"""How many dead letters there are, by code: of the newest, where there are very many."""

import collections
from typing import NamedTuple

from runtime.settings import Settings
from sternpost import reader
from sternpost.dead_letters.index import Index
from sternpost.dead_letters.letter import letter_of, redriven_position

MOST = 100_000
"""Records that are read at a look, so that a look takes seconds whatever the topic holds."""


class DeadLetters(NamedTuple):
    by_code: collections.Counter[str]
    """Those that were not sent back."""
    redriven: int
    """Those that were."""
    complete: bool
    """Whether all were read, and not the newest alone."""


class Counter:
    """Reads nothing twice."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._letters = Index()
        self._read_up_to: dict[int, int] = {}
        self._complete = True

    def count(self) -> DeadLetters:
        """Raises DependencyError."""
        topic = self._settings.topics.dead_letters
        spans = []
        kept = reader.committed(self._settings, topic)
        for span in kept:
            new = span._replace(start=max(span.start, self._read_up_to.get(span.partition, 0)))
            newest = max(new.start, new.end - MOST // len(kept))
            self._complete &= newest == new.start
            spans.append(new._replace(start=newest))
        for messages in reader.read_spans(self._settings, topic, spans):
            for message in messages:
                if (letter := letter_of(message)) is not None:
                    self._letters.add(letter)
                elif (position := redriven_position(message)) is not None:
                    self._letters.mark_redriven(*position)
        self._read_up_to = {span.partition: span.end for span in spans}
        still_there = self._letters.where(lambda letter: not letter.redriven)
        return DeadLetters(still_there.by_code(), len(self._letters) - len(still_there), self._complete)
