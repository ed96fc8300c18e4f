"""What today's mapping makes of a raw record, for commands that look and write nothing."""

from typing import TYPE_CHECKING, Any

from processor.identification import identify
from processor.mapping import Mapper
from processor.records import RawRecord
from runtime.settings import Settings
from schemas.rejection import ErrorCode, Rejection, Stage
from sternpost.reader import headers_of

if TYPE_CHECKING:
    from confluent_kafka import Message


class Today:
    """The mapping in force: this version's, by the profile that is set."""

    def __init__(self, settings: Settings) -> None:
        self._mapper = Mapper(settings.processor.profile)

    def map(self, record: RawRecord) -> dict[str, Any] | Rejection:
        """The event in the Avro schema's shape, or why there is none. Never raises."""
        identified = identify(record)
        try:
            return self._mapper.map(
                record.value or b"",
                received_at_ms=identified.received_at_ms,
                request_timestamp_s=identified.request_timestamp_s,
                event_id=identified.event_id,
            )
        except Rejection as rejection:
            return rejection
        except Exception as error:  # as the processor would: what it says may quote a person's data
            return Rejection(
                ErrorCode.INTERNAL_ERROR, f"a fault of Sternpost's own: {type(error).__name__}", stage=Stage.MAP
            )


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
