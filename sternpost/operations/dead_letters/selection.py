"""Select dead letters, and read them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from runtime.errors import CheckFailedError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import Message, OffsetRange
from runtime.settings.model import Settings
from sternpost.operations.dead_letters.index import DeadLetterIndex
from sternpost.operations.dead_letters.record import (
    DeadLetterRecord,
    PartitionOffset,
    parse_dead_letter,
    parse_redrive_marker,
)

OnProgress = Callable[[int, int], None]
"""Is told how much was done, and of how much."""


def ignore_progress(done: int, total: int) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Selection:
    """Filters on dead letters. A dead letter has to pass each of them; an empty filter passes all."""

    codes: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    """Fields at fault; the empty text stands for none."""
    event_ids: frozenset[str] = frozenset()
    at: frozenset[PartitionOffset] = field(default_factory=frozenset)
    since_ms: int | None = None
    """The earliest time of the failure, in Unix milliseconds."""
    until_ms: int | None = None
    """The time before which it failed, in Unix milliseconds."""
    redriven: bool = False
    """Whether to select those that were sent back as well."""

    def matches(self, letter: DeadLetterRecord) -> bool:
        """Return whether the dead letter passes the filters, `redriven` aside."""
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.sources or letter.source in self.sources)
            and (not self.fields or (letter.field or "") in self.fields)
            and (not self.event_ids or letter.event_id in self.event_ids)
            and (not self.at or letter.partition_offset in self.at)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_at_ms < self.until_ms)
        )


def read_one(settings: Settings, at: PartitionOffset) -> tuple[DeadLetterRecord, Message]:
    """Return one dead letter with its record. Raises CheckFailedError if there is none, and DependencyError."""
    for batch in read(settings, find(settings, Selection(at=frozenset({at}), redriven=True))):
        return batch[0]
    raise CheckFailedError(
        f"{settings.topics.dead_letters} has no dead letter at {at[0]}:{at[1]}; it may be older than "
        "topics.dead_letters_retention_ms. `sternpost dead-letters list --all --limit 0` shows those there are"
    )


def find(
    settings: Settings,
    selection: Selection,
    on_read: OnProgress = ignore_progress,
    ranges: list[OffsetRange] | None = None,
) -> DeadLetterIndex:
    """Return an index of the selected dead letters.

    Reads the topic from `since_ms` to its end, since a dead letter may have been sent back long after it failed; or
    only `ranges`. `on_read` is told the number of offsets read and of all. Raises DependencyError.
    """
    letters = DeadLetterIndex()
    ranges = ranges_of(settings, selection) if ranges is None else ranges
    total, done = sum(offset_range.offsets for offset_range in ranges), 0
    on_read(done, total)
    for number in scan(settings, ranges, letters, selection):
        done += number
        on_read(done, total)
    return letters if selection.redriven else letters.where(lambda entry: not entry.redriven)


def scan(
    settings: Settings, ranges: Iterable[OffsetRange], letters: DeadLetterIndex, selection: Selection
) -> Iterator[int]:
    """Read ranges of the dead-letter topic into `letters`, and yield the number of records after each batch.

    Redrive markers mark the dead letters that are in `letters`. Raises DependencyError.
    """
    for messages in range_consumer.read_ranges(settings, settings.topics.dead_letters, list(ranges)):
        for message in messages:
            if (letter := parse_dead_letter(message)) is not None:
                if selection.matches(letter):
                    letters.add(letter)
            elif (at := parse_redrive_marker(message)) is not None:
                letters.mark_redriven(*at)
        yield len(messages)


def read(settings: Settings, letters: DeadLetterIndex) -> Iterator[list[tuple[DeadLetterRecord, Message]]]:
    """Yield the dead letters of the index with their records in batches, each partition in order.

    Raises DependencyError.
    """
    for messages in range_consumer.read_ranges(settings, settings.topics.dead_letters, letters.ranges()):
        batch = []
        for message in messages:
            entry = letters.get(message.partition() or 0, message.offset() or 0)
            if entry is not None and (letter := parse_dead_letter(message)) is not None:
                batch.append((letter._replace(redriven=entry.redriven), message))
        if batch:
            yield batch


def read_selected(
    settings: Settings, selection: Selection, on_read: OnProgress = ignore_progress
) -> Iterator[tuple[DeadLetterRecord, Message]]:
    """Yield the selected dead letters with their records. Raises DependencyError."""
    for batch in read(settings, find(settings, selection, on_read)):
        yield from batch


def ranges_of(settings: Settings, selection: Selection) -> list[OffsetRange]:
    """Return the ranges to read. A redrive marker comes after its dead letter, so nothing before the first matters."""
    topic = settings.topics.dead_letters
    first: dict[int, int] = {}
    for partition, offset in selection.at:
        first[partition] = min(offset, first.get(partition, offset))
    ranges = [
        there._replace(start=max(there.start, first.get(there.partition, 0)))
        for there in range_consumer.readable_ranges(settings, topic, first or None)
    ]
    since_ms = selection.since_ms
    if since_ms is None:
        return ranges
    starts = range_consumer.offsets(settings, topic, {there.partition: since_ms for there in ranges})
    return [
        there._replace(start=max(there.start, starts[there.partition]))
        for there in ranges
        if starts[there.partition] >= 0
    ]
