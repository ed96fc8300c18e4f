"""The mapping for programs of others: a webhook's body in, an event or a dead letter out. See docs/python-api.md.

It is the pipeline that `sternpost process`, `replay` and `transform` run, and needs neither Kafka nor settings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple

from processor.pipeline import records
from processor.pipeline.pipeline import build_pipeline, record_of
from processor.pipeline.records import RawRecord, identify
from schemas.record_headers import DEFAULT_SOURCE
from schemas.track_event import EventReader, load_schema, track_json

Profile = Literal["rudderstack", "corrected"]


class Origin(NamedTuple):
    """The record of Kafka that a body is in, for the event's `context.origin`."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Event:
    """A RudderStack track event."""

    key: bytes
    """The key of the event's record: `userId`, or `anonymousId`, as UTF-8."""

    value: bytes
    """The event in Confluent's wire format: 0, the mapper's schema id in 4 bytes, Avro."""

    traceparent: str | None = None
    """The only header of the event's record, if the raw record has it."""

    def as_json(self) -> dict[str, Any]:
        """Return RudderStack's JSON form: times are ISO-8601 text, and absent fields are left out."""
        return track_json(self.as_record())

    def as_record(self) -> dict[str, Any]:
        """Return the record of the Avro schema, as Avro readers do: times are datetimes, and absent fields are None."""
        return _reader()(self.value)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a body cannot become an event."""

    code: str
    """A stable code, such as `malformed_json`; docs/errors.md lists all of them."""

    field: str | None
    """The path of the field at fault, such as `data.identifiers`; None if it is not one field's fault."""

    message: str
    """What is wrong, in words. It quotes nothing of the body."""


@dataclass(frozen=True, slots=True)
class Mapper:
    """Maps bodies of Customer.io's reporting webhooks.

    A mapper has no state: it can be shared by threads, copied and pickled. It does not look for duplicates: those have
    the same `messageId`.

        mapper = Mapper("corrected")
        outcome = mapper.map(body, received_at_ms=1_700_000_000_000)
    """

    profile: Profile = "rudderstack"
    """The mapping profile: docs/mapping.md says how they differ. Any other name raises ValueError."""

    schema_id: int = 0
    """The schema's id in your registry, for `Event.value`; needed only if you write that to Kafka."""

    _pipeline: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pipeline", build_pipeline(self.profile, schema_id=self.schema_id))

    def __reduce__(self) -> tuple[Any, ...]:
        return Mapper, (self.profile, self.schema_id)

    def map(
        self,
        body: bytes,
        *,
        received_at_ms: int,
        headers: Iterable[tuple[str, bytes | None]] = (),
        source: str = DEFAULT_SOURCE,
        origin: Origin | None = None,
    ) -> Event | DeadLetter:
        """Return what a body becomes, whatever its bytes. Never raises for them.

        `received_at_ms` is when the webhook arrived, in Unix milliseconds: for a record of the raw topic, its
        timestamp. `headers` are those of the raw record; of another body, `[("request_timestamp", b"…")]` gives the
        X-CIO-Timestamp of its request, in Unix seconds. `source` is the name of the source, for a body whose headers
        do not have it.
        """
        made = record_of(body, received_at_ms=received_at_ms, source=source)
        topic, partition, offset = origin or (made.topic, made.partition, made.offset)
        record = RawRecord(topic, partition, offset, received_at_ms, None, body, [*made.headers, *headers])
        outcome = self._pipeline.outcome(record, identify(record))
        if isinstance(outcome, records.DeadLetter):
            return DeadLetter(outcome.code.value, outcome.field, outcome.message)
        traceparent = outcome.traceparent
        return Event(outcome.key, outcome.value, None if traceparent is None else traceparent.decode("latin-1"))


def event_schema() -> dict[str, Any]:
    """Return the Avro schema of the events, as JSON has it."""
    return load_schema()


@cache
def _reader() -> EventReader:
    return EventReader.of_newest()
