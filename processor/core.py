"""The core: a batch of raw records in, one outcome for each out, in order. No Kafka, no clock, no files.

    RawRecord ──identify──▶ known already? ──▶ Duplicate
                               │ no
                              map ──▶ encode ──▶ fits? ──▶ Event
                               └─────────┴─────────┴────▶ DeadLetter

What a record's own bytes cause ends as that record's dead letter, a fault of ours included, so that no record can
stop the processor. What the cluster causes does not show here at all.
"""

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from processor.identification import Identified, identify
from processor.records import DeadLetter, Duplicate, Event, Headers, Outcome, RawRecord
from schemas import headers
from schemas.event_writer import Unencodable
from schemas.rejection import ErrorCode, Rejection, Stage

log = structlog.get_logger()

_FRAMING_BYTES = 512
"""What a record takes up beyond key, value, event id and traceparent: header names, offsets, the batch around it."""


class Seen(Protocol):
    """Remembers records by their keys."""

    def first_offsets(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        """For each record, the offset at which its key was met before; None where it is new. Remembers all of them."""
        ...


class Maps(Protocol):
    """A `processor.mapping.Mapper`."""

    def fields(
        self, body: bytes, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str
    ) -> dict[str, Any]: ...


class Core:
    """Deduplicates, maps and encodes."""

    def __init__(
        self,
        seen: Seen,
        mapper: Maps,
        frame: bytes,
        encode: Callable[[dict[str, Any]], bytes],
        max_event_bytes: int,
    ) -> None:
        """`frame` goes before each encoded event; `max_event_bytes` is the largest record the topic of events takes."""
        self._seen = seen
        self._fields = mapper.fields
        self._frame = frame
        self._encode = encode
        self._room = max_event_bytes - _FRAMING_BYTES
        self._origins: dict[tuple[str, int], Headers] = {}
        self._reported: set[tuple[str, int]] = set()

    def __call__(self, records: Sequence[RawRecord]) -> list[Outcome]:
        """One outcome for each record. Raises what `seen` raises, and nothing else."""
        identities = [identify(record) for record in records]
        offsets = self._seen.first_offsets(records, [identified.key for identified in identities])
        event = self.event
        return [
            event(record, identified) if offset is None else Duplicate(offset)
            for record, identified, offset in zip(records, identities, offsets, strict=True)
        ]

    def event(self, record: RawRecord, identified: Identified) -> Event | DeadLetter:
        """The record's event, whether it is a duplicate or not."""
        topic, partition, offset, raw_ms, _, body, _ = record
        _, source, event_id, received_at_ms, request_timestamp_s, traceparent = identified
        stage = Stage.MAP
        try:
            fields = self._fields(body or b"", received_at_ms, request_timestamp_s, event_id, source)
            fields["context.origin.topic"] = topic
            fields["context.origin.partition"] = partition
            fields["context.origin.offset"] = offset
            key = (fields.get("userId") or fields["anonymousId"]).encode()
            stage = Stage.ENCODE
            value = self._frame + self._encode(fields)
        except Rejection as rejection:
            return DeadLetter(rejection.code, rejection.stage, rejection.field, rejection.message)
        except Unencodable as misfit:
            return DeadLetter(ErrorCode.UNENCODABLE, stage, None, f"the event's {misfit}")
        except Exception as fault:
            return self._internal_error(fault, stage)
        id_bytes = event_id.encode()
        if len(key) + len(value) + len(id_bytes) + len(traceparent or b"") > self._room:
            return DeadLetter(
                ErrorCode.TOO_LARGE,
                Stage.PRODUCE,
                None,
                f"the event has {len(value)} bytes, more than a record of the topic may have; "
                "raise ingest.max_body_bytes and the topic's max.message.bytes",
            )
        origin = self._origins.get((topic, partition))
        if origin is None:
            origin = self._origins[topic, partition] = [
                (headers.RAW_TOPIC, topic.encode()),
                (headers.RAW_PARTITION, b"%d" % partition),
            ]
        of_event = [*origin, (headers.RAW_OFFSET, b"%d" % offset), (headers.EVENT_ID, id_bytes)]
        if traceparent:
            of_event.append((headers.TRACEPARENT, traceparent))
        # Brokers refuse a record dated ahead of their clock; the raw record's date they have accepted.
        timestamp_ms = received_at_ms if raw_ms < 0 or received_at_ms < raw_ms else raw_ms
        if 0 <= fields["timestamp"] < timestamp_ms:
            timestamp_ms = fields["timestamp"]
        # What Event(…) comes to, in half the time.
        return tuple.__new__(Event, (key, value, of_event, timestamp_ms))

    def _internal_error(self, fault: Exception, stage: Stage) -> DeadLetter:
        """Says where the fault is, and not what it says: the text of an exception may quote a person's data."""
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        kind = type(fault).__name__
        if (kind, frame.lineno or 0) not in self._reported:  # once: at a thousand a second it would bury the log
            self._reported.add((kind, frame.lineno or 0))
            log.error("internal error", error=kind, where=where, stage=stage.value)
        return DeadLetter(ErrorCode.INTERNAL_ERROR, stage, None, f"a fault of Sternpost's own: {kind} at {where}")
