"""Turns a raw record into its event. Everything that makes events uses a `Pipeline` from `build_pipeline`.

    RawRecord ──▶ map ──▶ encode ──▶ fits? ──▶ Event
                   └─────────┴─────────┴─────▶ DeadLetter

A pipeline uses no Kafka, no clock and no files. Every failure that a record's own bytes cause becomes that record's
dead letter, even a fault of ours, so that no record can stop the processor.
"""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import structlog

from processor.pipeline.dedup_key import RecordIdentity
from processor.pipeline.mapper import Mapper
from processor.pipeline.records import DeadLetter, Event, RawRecord
from schemas import record_headers
from schemas.avro.encoder import (
    ANONYMOUS_ID,
    CONTEXT_ORIGIN_OFFSET,
    CONTEXT_ORIGIN_PARTITION,
    CONTEXT_ORIGIN_TOPIC,
    USER_ID,
)
from schemas.avro.event_writer import EncodingError, write_event
from schemas.avro.wire_format import frame
from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage

log = structlog.get_logger()

_FRAMING_BYTES = 512
"""The bytes of a record beside key, value and traceparent: the header's name and the batch around the record."""


class EventMapper(Protocol):
    """A `processor.pipeline.mapper.Mapper`."""

    def row(
        self, body: bytes, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str
    ) -> list[Any]:
        """Return the row of an event; see `Mapper.row`."""
        ...


class Pipeline:
    """Maps and encodes raw records, one at a time."""

    def __init__(
        self, mapper: EventMapper, encode: Callable[[list[Any]], bytes], schema_id: int, max_event_bytes: int | None
    ) -> None:
        """Take a mapper, an encoder, and the arguments of `build_pipeline`."""
        self._row = mapper.row
        self._encode = encode
        self._frame = frame(schema_id)
        self._room = None if max_event_bytes is None else max_event_bytes - _FRAMING_BYTES
        self._reported: set[tuple[str, int]] = set()

    def outcome(self, record: RawRecord, identified: RecordIdentity) -> Event | DeadLetter:
        """Return the record's event or dead letter, whether the record is a duplicate or not. Never raises."""
        stage = Stage.MAP
        try:
            row = self._row(
                record.value or b"",
                identified.received_at_ms,
                identified.request_timestamp_s,
                identified.event_id,
                identified.source,
            )
            key: bytes = (row[USER_ID] or row[ANONYMOUS_ID]).encode()
            if record.topic:
                row[CONTEXT_ORIGIN_TOPIC] = record.topic
                row[CONTEXT_ORIGIN_PARTITION] = record.partition
                row[CONTEXT_ORIGIN_OFFSET] = record.offset
            stage = Stage.ENCODE
            value = self._frame + self._encode(row)
        except PayloadRejectedError as rejection:
            return DeadLetter(rejection.code, rejection.stage, rejection.field, rejection.message)
        except EncodingError as misfit:
            return DeadLetter(ErrorCode.UNENCODABLE, stage, None, f"the event's {misfit}")
        except Exception as fault:
            return self._internal_error(fault, stage)
        traceparent = identified.traceparent
        if self._room is not None and len(key) + len(value) + len(traceparent or b"") > self._room:
            return DeadLetter(
                ErrorCode.TOO_LARGE,
                Stage.PRODUCE,
                None,
                f"the event has {len(value)} bytes, more than a record of the topic may have; "
                "raise ingest.max_body_bytes and the topic's max.message.bytes",
            )
        return Event(key, value, traceparent)

    def _internal_error(self, fault: Exception, stage: Stage) -> DeadLetter:
        """Return a dead letter that names the place of the fault, but not its text, which may quote personal data."""
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        kind = type(fault).__name__
        if (kind, frame.lineno or 0) not in self._reported:  # once: a thousand a second would flood the log
            self._reported.add((kind, frame.lineno or 0))
            log.error("internal error", error=kind, where=where, stage=stage.value)
        return DeadLetter(ErrorCode.INTERNAL_ERROR, stage, None, f"a fault of Sternpost's own: {kind} at {where}")


def build_pipeline(profile: str, *, schema_id: int = 0, max_event_bytes: int | None = None) -> Pipeline:
    """Build the pipeline of this version of Sternpost.

    `profile` is `rudderstack` or `corrected`. `schema_id` is the registry's id of the newest schema, which goes before
    each event; 0 is for events that are not written. `max_event_bytes` is the largest record that the events topic
    accepts, None for no limit. Raises ValueError for any other profile.
    """
    return Pipeline(Mapper(profile), write_event, schema_id, max_event_bytes)


def record_of(
    body: bytes,
    *,
    received_at_ms: int,
    request_timestamp_s: int | None = None,
    source: str = record_headers.DEFAULT_SOURCE,
) -> RawRecord:
    """Make a raw record of a body that is not in a topic; its event has no `context.origin`.

    `received_at_ms` is in Unix milliseconds, `request_timestamp_s` (X-CIO-Timestamp) in Unix seconds.
    """
    of_record: list[tuple[str, bytes | None]] = [(record_headers.SOURCE, source.encode())]
    if request_timestamp_s is not None:
        of_record.append((record_headers.REQUEST_TIMESTAMP, b"%d" % request_timestamp_s))
    return RawRecord("", -1, -1, received_at_ms, None, body, of_record)
