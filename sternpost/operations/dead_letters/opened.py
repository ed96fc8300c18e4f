"""One dead letter in full, and what this version would make of it."""

from typing import Any, NamedTuple

from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord, identify
from runtime.kafka.config import record_limits
from runtime.settings.model import Settings
from schemas.track_event import EventReader, track_json
from sternpost.operations import marked_payload
from sternpost.operations.dead_letters.record import (
    DeadLetterRecord,
    PartitionOffset,
    as_json_with_payload,
    decoded_headers,
)
from sternpost.operations.dead_letters.redrive import redriven_record
from sternpost.operations.dead_letters.selection import read_one
from sternpost.operations.marked_payload import Line


class OpenedDeadLetter(NamedTuple):
    """A dead letter with its payload, which is a person's data."""

    letter: DeadLetterRecord
    headers: dict[str, str]
    record: RawRecord
    """The raw record that a redrive would write."""
    now: DeadLetter | dict[str, Any]
    """What this version makes of it: a dead letter, or the event in RudderStack's JSON form."""
    json_with_payload: dict[str, Any]

    @property
    def payload(self) -> bytes:
        """The body, byte for byte."""
        return self.record.value or b""

    def lines(self) -> list[Line]:
        """Return the payload with its fault marked."""
        return marked_payload.lines(self.payload, self.letter.field)

    def as_json(self) -> dict[str, Any]:
        """Return the dead letter as JSON for scripts."""
        if isinstance(self.now, DeadLetter):
            code, _, field, message = self.now
            now: dict[str, Any] = {"outcome": "dead_letter", "code": code, "field": field, "message": message}
        else:
            now = {"outcome": "event", "event": self.now}
        return {**self.json_with_payload, "now": now}


def open_dead_letter(settings: Settings, at: PartitionOffset) -> OpenedDeadLetter:
    """Return the dead letter at a partition and offset. Raises CheckFailedError if there is none, and DependencyError.

    It is mapped with the profile in force.
    """
    letter, message = read_one(settings, at)
    record = redriven_record(settings, letter, message)
    pipeline = build_pipeline(settings.processor.profile, max_event_bytes=record_limits(settings).events)
    outcome = pipeline.outcome(record, identify(record))
    now = outcome if isinstance(outcome, DeadLetter) else track_json(EventReader.of_newest()(outcome.value))
    return OpenedDeadLetter(letter, decoded_headers(message), record, now, as_json_with_payload(letter, message))
