"""Which dead letters are meant, and finding them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.settings import Settings
from sternpost import reader
from sternpost.dead_letters.letter import Letter, Position, letter_of, redriven_position

if TYPE_CHECKING:
    from confluent_kafka import Message


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

    def takes(self, letter: Letter) -> bool:
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


def find(settings: Settings, selection: Selection) -> list[Letter]:
    """The selected letters, oldest first.

    Reads the topic from `since_ms` to its end, since a letter may have been sent back long after it failed.
    Raises DependencyError.
    """
    topic = settings.topics.dead_letters
    letters: dict[Position, Letter] = {}
    sent_back: set[Position] = set()
    for messages in reader.read_spans(settings, topic, _spans(settings, selection)):
        for message in messages:
            if (letter := letter_of(message)) is not None:
                if selection.takes(letter):
                    letters[letter.position] = letter
            elif (position := redriven_position(message)) is not None:
                sent_back.add(position)
    for position in sent_back & letters.keys():
        if selection.redriven:
            letters[position] = letters[position]._replace(redriven=True)
        else:
            del letters[position]
    return sorted(letters.values(), key=lambda letter: (letter.failed_at_ms, letter.partition, letter.offset))


def read(settings: Settings, letters: list[Letter]) -> Iterator[list[tuple[Letter, "Message"]]]:
    """The letters with their records, in batches, each partition in order."""
    wanted = {letter.position: letter for letter in letters}
    spans: dict[int, reader.Span] = {}
    for partition, offset in wanted:
        before = spans.get(partition, reader.Span(partition, offset, offset))
        spans[partition] = reader.Span(partition, min(before.start, offset), max(before.end, offset + 1))
    for messages in reader.read_spans(settings, settings.topics.dead_letters, list(spans.values())):
        batch = [
            (letter, message)
            for message in messages
            if (letter := wanted.get((message.partition() or 0, message.offset() or 0))) is not None
        ]
        if batch:
            yield batch


def _spans(settings: Settings, selection: Selection) -> list[reader.Span]:
    topic = settings.topics.dead_letters
    spans = reader.committed(settings, topic, {p for p, _ in selection.positions} or None)
    since = selection.since_ms
    if since is None:
        return spans
    starts = reader.offsets(settings, topic, {span.partition: since for span in spans})
    return [span._replace(start=starts[span.partition]) for span in spans if starts[span.partition] >= 0]
