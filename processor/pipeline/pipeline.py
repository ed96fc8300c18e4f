"""From a raw record to its event. Everything that makes events makes them by a `Pipeline`, built by `build`.

    RawRecord ──▶ map ──▶ encode ──▶ fits? ──▶ Event
                   └─────────┴─────────┴─────▶ DeadLetter

A pipeline knows no Kafka, no clock and no files. Whatever a record's own bytes cause becomes that record's dead letter,
a fault of ours included, so that no record can stop the processor.
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
"""What a record takes up beside key, value and traceparent: the header's name, the batch around the record."""


class EventMapper(Protocol):
    """A `processor.pipeline.mapper.Mapper`."""

    def row(
        self, body: bytes, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str
    ) -> list[Any]: ...


class Pipeline:
    """Maps and encodes one raw record after the other."""

    def __init__(
        self, mapper: EventMapper, encode: Callable[[list[Any]], bytes], schema_id: int, max_event_bytes: int | None
    ) -> None:
        """Arguments beside mapper and encoder as of `build`."""
        self._row = mapper.row
        self._encode = encode
        self._frame = frame(schema_id)
        self._room = None if max_event_bytes is None else max_event_bytes - _FRAMING_BYTES
        self._reported: set[tuple[str, int]] = set()

    def outcome(self, record: RawRecord, identified: RecordIdentity) -> Event | DeadLetter:
        """The record's event, whether the record is a duplicate or not. Never raises."""
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
        """Say where the fault is, and not what it says: the text of an exception may quote a person's data."""
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        kind = type(fault).__name__
        if (kind, frame.lineno or 0) not in self._reported:  # once: at a thousand a second it would bury the log
            self._reported.add((kind, frame.lineno or 0))
            log.error("internal error", error=kind, where=where, stage=stage.value)
        return DeadLetter(ErrorCode.INTERNAL_ERROR, stage, None, f"a fault of Sternpost's own: {kind} at {where}")


def build_pipeline(profile: str, *, schema_id: int = 0, max_event_bytes: int | None = None) -> Pipeline:
    """Make the pipeline of this version of Sternpost.

    `profile`: `rudderstack` or `corrected`. `schema_id`: the registry's id of the newest schema, which frames each
    event; 0 for events that are only looked at. `max_event_bytes`: the largest record that the topic of events takes;
    None for no limit. Raises ValueError for any other profile.
    """
    return Pipeline(Mapper(profile), write_event, schema_id, max_event_bytes)


def record_of(
    body: bytes,
    *,
    received_at_ms: int,
    request_timestamp_s: int | None = None,
    source: str = record_headers.DEFAULT_SOURCE,
) -> RawRecord:
    """Make a raw record of a body that is in no topic; its event has no `context.origin`.

    `received_at_ms`: Unix milliseconds. `request_timestamp_s`: X-CIO-Timestamp, Unix seconds.
    """
    of_record: list[tuple[str, bytes | None]] = [(record_headers.SOURCE, source.encode())]
    if request_timestamp_s is not None:
        of_record.append((record_headers.REQUEST_TIMESTAMP, b"%d" % request_timestamp_s))
    return RawRecord("", -1, -1, received_at_ms, None, body, of_record)
