"""The events of a range that are in a topic already, found by the raw record that each names as its origin."""

import struct
from collections.abc import Callable
from typing import Any

from rocksdict import Options, Rdict

from runtime import temporary
from runtime.errors import SchemaNotFoundError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.avro.decoder import EventReader

CLOCK_DIFFERENCE_MS = 3_600_000
"""How far apart the clocks may be that date raw records (of ingest, or of brokers) and events (of processors, or of
brokers). Brokers refuse what is dated an hour ahead of them: message.timestamp.after.max.ms,
https://kafka.apache.org/documentation/#topicconfigs_message.timestamp.after.max.ms."""

_DATE = struct.Struct(">q")
"""Stands before an event: its record's timestamp."""


class ExistingEvents:
    """The events of some spans of raw records, on disk, since they may be many.

    An event may have been written more than once, by a replay. The one that was written last counts, in whichever
    partition it is: a sink that keeps one event per `messageId` ends up with it.
    """

    def __init__(self, settings: Settings, topic: str, spans: list[OffsetRange]) -> None:
        """`spans`: of the raw topic. `topic`: the one that has the events."""
        self._settings, self._topic = settings, topic
        self._spans = {span.partition: span for span in spans}
        self.unreadable = 0
        """Records of the topic that are no events, or of a schema that the registry has not."""
        self._scratch = temporary.folder("sternpost-replay-")
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._events = Rdict(self._scratch.name, options)

    def close(self) -> None:
        self._events.close()
        self._scratch.cleanup()

    def spans(self) -> list[OffsetRange]:
        """The part of the topic that the events can have been written to. Raises DependencyError.

        It begins at the time at which the first raw record was received, since an event is written, and so dated,
        after its raw record was. It ends where the topic does: a processor may have been behind, and a replay may have
        written the events again much later.
        """
        raw = self._settings.topics.raw
        first = range_consumer.first_messages(self._settings, raw, list(self._spans.values()))
        if not first:
            return []
        since_ms = min(message.timestamp()[1] for message in first.values()) - CLOCK_DIFFERENCE_MS
        kept = range_consumer.readable_ranges(self._settings, self._topic)
        starts = range_consumer.offsets(
            self._settings, self._topic, {span.partition: max(0, since_ms) for span in kept}
        )
        return [
            span._replace(start=max(span.start, starts[span.partition])) for span in kept if starts[span.partition] >= 0
        ]

    def read(
        self,
        spans: list[OffsetRange],
        schema_by_id: Callable[[int], dict[str, Any]],
        on_done: Callable[[int], None],
        interrupted: Callable[[], bool],
    ) -> None:
        """Find the events. `schema_by_id` gives a schema, or raises SchemaNotFoundError. Raises DependencyError."""
        event_of = EventReader(schema_by_id)
        for messages in range_consumer.read_ranges(self._settings, self._topic, spans):
            if interrupted():
                return
            for message in messages:
                value = message.value() or b""
                try:
                    event = event_of(value)
                except (ValueError, SchemaNotFoundError):  # something else wrote it
                    self.unreadable += 1
                    continue
                if (raw := self._raw_record(event)) is not None:
                    self._keep(raw, message.timestamp()[1], value)
            on_done(len(messages))

    def event(self, partition: int, offset: int) -> bytes | None:
        """The event of a raw record, in wire format."""
        found: bytes | None = self._events.get(b"%d:%d" % (partition, offset))
        return found and found[_DATE.size :]

    def _raw_record(self, event: dict[str, Any]) -> bytes | None:
        """The key of the raw record that the event was made of; None for one that is not within the spans."""
        context = event.get("context")
        match context.get("origin") if isinstance(context, dict) else None:
            case {"topic": str(topic), "partition": int(partition), "offset": int(offset)}:
                span = self._spans.get(partition)
                if topic == self._settings.topics.raw and span and span.start <= offset < span.end:
                    return b"%d:%d" % (partition, offset)
        return None

    def _keep(self, raw: bytes, written_ms: int, value: bytes) -> None:
        before: bytes | None = self._events.get(raw)
        if before is None or written_ms >= _DATE.unpack_from(before)[0]:
            self._events[raw] = _DATE.pack(written_ms) + value
