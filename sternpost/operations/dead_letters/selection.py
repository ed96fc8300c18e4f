"""Which dead letters are meant, and finding them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.operations.dead_letters.index import DeadLetterIndex
from sternpost.operations.dead_letters.letter import DeadLetterRecord, Position, letter_of, redriven_position

if TYPE_CHECKING:
    from confluent_kafka import Message

OnRead = Callable[[int, int], None]
"""Takes how many offsets were read, and of how many."""


def nothing(done: int, total: int) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Selection:
    """Letters that pass every filter; an empty one passes all."""

    codes: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    event_ids: frozenset[str] = frozenset()
    positions: frozenset[Position] = field(default_factory=frozenset)
    since_ms: int | None = None
    """Failed at this time or later."""
    until_ms: int | None = None
    """Failed before this time."""
    redriven: bool = False
    """Those that were sent back as well."""

    def takes(self, letter: DeadLetterRecord) -> bool:
        """Whether the letter passes, but for `redriven`."""
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.sources or letter.source in self.sources)
            and (not self.fields or letter.field in self.fields)
            and (not self.event_ids or letter.event_id in self.event_ids)
            and (not self.positions or letter.position in self.positions)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_at_ms < self.until_ms)
        )


def find(settings: Settings, selection: Selection, on_read: OnRead = nothing) -> DeadLetterIndex:
    """Where the selected letters lie.

    Reads the topic from `since_ms` to its end, since a letter may have been sent back long after it failed, and says
    as it goes how many offsets of how many it has come past. Raises DependencyError.
    """
    topic = settings.topics.dead_letters
    letters = DeadLetterIndex()
    spans = _spans(settings, selection)
    total, done = sum(span.offsets for span in spans), 0
    on_read(done, total)
    for messages in range_consumer.read_ranges(settings, topic, spans):
        for message in messages:
            if (letter := letter_of(message)) is not None:
                if selection.takes(letter):
                    letters.add(letter)
            elif (position := redriven_position(message)) is not None:
                letters.mark_redriven(*position)
        done += len(messages)
        on_read(done, total)
    return letters if selection.redriven else letters.where(lambda entry: not entry.redriven)


def read(settings: Settings, letters: DeadLetterIndex) -> Iterator[list[tuple[DeadLetterRecord, "Message"]]]:
    """The letters with their records, in batches, each partition in order. Raises DependencyError."""
    for messages in range_consumer.read_ranges(settings, settings.topics.dead_letters, letters.spans()):
        batch = []
        for message in messages:
            entry = letters.get(message.partition() or 0, message.offset() or 0)
            if entry is not None and (letter := letter_of(message)) is not None:
                batch.append((letter._replace(redriven=entry.redriven), message))
        if batch:
            yield batch


def _spans(settings: Settings, selection: Selection) -> list[range_consumer.OffsetRange]:
    """A note that a letter was sent back comes after it: nothing before the first letter meant is of interest."""
    topic = settings.topics.dead_letters
    first: dict[int, int] = {}
    for partition, offset in selection.positions:
        first[partition] = min(offset, first.get(partition, offset))
    spans = [
        span._replace(start=max(span.start, first.get(span.partition, 0)))
        for span in range_consumer.readable_ranges(settings, topic, first or None)
    ]
    since = selection.since_ms
    if since is None:
        return spans
    starts = range_consumer.offsets(settings, topic, {span.partition: since for span in spans})
    return [
        span._replace(start=max(span.start, starts[span.partition])) for span in spans if starts[span.partition] >= 0
    ]
