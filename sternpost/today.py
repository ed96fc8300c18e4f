"""What today's mapping makes of a raw record, for commands that look and write nothing."""

from typing import TYPE_CHECKING

from processor.core import Core
from processor.deduplication import Deduplicator
from processor.identification import identify
from processor.mapping import Mapper
from processor.records import DeadLetter, Event, RawRecord
from runtime.kafka import record_limits
from runtime.settings import Settings
from schemas.event_writer import write_event
from schemas.wire_format import frame
from sternpost.reader import headers_of

if TYPE_CHECKING:
    from confluent_kafka import Message


class Today:
    """The mapping in force: this version's, by the profile that is set."""

    def __init__(self, settings: Settings) -> None:
        profile, limits = settings.processor.profile, record_limits(settings)
        self._core = Core(Deduplicator(0), Mapper(profile), frame(0), write_event, limits.events)

    def outcome(self, record: RawRecord) -> Event | DeadLetter:
        """The event's record, with no schema's id, or why there is none. Never raises."""
        return self._core.event(record, identify(record))


def raw_record(message: "Message") -> RawRecord:
    """The record as the processor's core takes it."""
    return RawRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers_of(message),
    )
