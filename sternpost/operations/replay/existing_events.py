"""The events that are in a topic already, found by the raw record that each names as its origin."""

import struct
from collections.abc import Callable
from typing import Any

from rocksdict import Options, Rdict

from runtime import temporary
from runtime.errors import SchemaNotFoundError
from runtime.graceful_interrupt import StopRequest
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.track_event import EventReader

CLOCK_DIFFERENCE_MS = 3_600_000
"""The largest difference between the clocks that date raw records (ingest's or a broker's) and events (the processor's
or a broker's). Brokers refuse records dated an hour or more ahead of them: message.timestamp.after.max.ms,
https://kafka.apache.org/documentation/#topicconfigs_message.timestamp.after.max.ms."""

_TIMESTAMP = struct.Struct(">q")
"""Precedes each stored event: the timestamp of its record, in Unix milliseconds."""


class ExistingEvents:
    """The existing events of ranges of the raw topic, in a temporary folder because they may be many.

    A replay may have written an event more than once. The one that was written last counts, in whichever partition it
    is: a sink that keeps one event per `messageId` ends up with that one.
    """

    def __init__(self, settings: Settings, topic: str, ranges: list[OffsetRange]) -> None:
        """`ranges` are of the raw topic, `topic` is the one with the events."""
        self._settings, self._topic = settings, topic
        self._ranges = {offset_range.partition: offset_range for offset_range in ranges}
        self.unreadable = 0
        """Records of the topic that cannot be decoded as events, or whose schema the registry does not have."""
        self._folder = temporary.folder("sternpost-replay-")
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._events = Rdict(self._folder.name, options)

    def close(self) -> None:
        """Delete the temporary folder."""
        self._events.close()
        self._folder.cleanup()

    def output_ranges(self) -> list[OffsetRange]:
        """Return the ranges of the events topic in which the events can be. Raises DependencyError.

        They begin at the time when the first raw record was received, since an event is written, and so dated, later
        than its raw record. They end at the end of the topic: a processor may have been behind, and a replay may have
        written the events again much later.
        """
        raw = self._settings.topics.raw
        first = range_consumer.first_messages(self._settings, raw, list(self._ranges.values()))
        if not first:
            return []
        since_ms = min(message.timestamp()[1] for message in first.values()) - CLOCK_DIFFERENCE_MS
        readable = range_consumer.readable_ranges(self._settings, self._topic)
        starts = range_consumer.offsets(
            self._settings, self._topic, {there.partition: max(0, since_ms) for there in readable}
        )
        return [
            there._replace(start=max(there.start, starts[there.partition]))
            for there in readable
            if starts[there.partition] >= 0
        ]

    def read(
        self,
        ranges: list[OffsetRange],
        schema_by_id: Callable[[int], dict[str, Any]],
        on_done: Callable[[int], None],
        interrupted: StopRequest,
    ) -> None:
        """Read the events in `ranges` of the events topic, up to the batch in which it is interrupted.

        `schema_by_id` returns a schema, or raises SchemaNotFoundError. `on_done` is told the number of further records.
        Raises DependencyError.
        """
        decode = EventReader(schema_by_id)
        for messages in range_consumer.read_ranges(self._settings, self._topic, ranges):
            if interrupted:
                return
            for message in messages:
                value = message.value() or b""
                try:
                    event = decode(value)
                except (ValueError, SchemaNotFoundError):  # another program wrote it
                    self.unreadable += 1
                    continue
                if (raw := self._raw_key(event)) is not None:
                    self._keep(raw, message.timestamp()[1], value)
            on_done(len(messages))

    def event(self, partition: int, offset: int) -> bytes | None:
        """Return the event of a raw record in wire format; None if there is none."""
        found: bytes | None = self._events.get(b"%d:%d" % (partition, offset))
        return found and found[_TIMESTAMP.size :]

    def _raw_key(self, event: dict[str, Any]) -> bytes | None:
        """Return the key of the raw record that the event comes from; None if that is not within the ranges."""
        context = event.get("context")
        match context.get("origin") if isinstance(context, dict) else None:
            case {"topic": str(topic), "partition": int(partition), "offset": int(offset)}:
                within = self._ranges.get(partition)
                if topic == self._settings.topics.raw and within and within.start <= offset < within.end:
                    return b"%d:%d" % (partition, offset)
        return None

    def _keep(self, raw: bytes, written_ms: int, value: bytes) -> None:
        before: bytes | None = self._events.get(raw)
        if before is None or written_ms >= _TIMESTAMP.unpack_from(before)[0]:
            self._events[raw] = _TIMESTAMP.pack(written_ms) + value
