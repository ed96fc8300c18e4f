"""Turns raw records into outcomes, one for each, in order: by a `Pipeline`, and batches by a `BatchProcessor`.

    RawRecord ──▶ identify ──▶ seen before? ──▶ map ──▶ encode ──▶ fits? ──▶ Event
                                    │            └─────────┴─────────┴─────▶ DeadLetter
                                    └─────────────────────────────────────▶ Duplicate

Everything that makes events uses a pipeline from `build_pipeline`. It uses no Kafka, no clock and no files. Every
failure that a record's own bytes cause becomes that record's dead letter, even a fault of ours, so that no record can
stop the processor: only too many faults of ours do (`DeadLetterLimit`). Failures of the cluster do not appear here.
"""

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import fastavro
import structlog
from fastavro.validation import ValidationError

from processor.pipeline.mapper import Mapper, tree
from processor.pipeline.records import (
    DeadLetter,
    Duplicate,
    Event,
    Outcome,
    RawRecord,
    RecordIdentity,
    attempt_of,
    identify,
)
from runtime.errors import ProcessorHaltedError
from schemas import record_headers
from schemas.avro.encoder import (
    ANONYMOUS_ID,
    CONTEXT_ORIGIN_OFFSET,
    CONTEXT_ORIGIN_PARTITION,
    CONTEXT_ORIGIN_TOPIC,
    USER_ID,
    encode,
)
from schemas.avro.wire_format import frame
from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage
from schemas.track_event import load_schema

log = structlog.get_logger()

SLICE: Final = 1_000
"""So many records go through all steps before the next ones do, so that each step finds them in the CPU's cache."""

_FRAMING_BYTES = 512
"""The bytes of a record beside key, value and traceparent: the header's name and the batch around the record."""


OWN_FAULTS = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.UNENCODABLE})
"""Failures that an upgrade can fix."""

_SCHEMA = fastavro.parse_schema(load_schema())


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
            try:
                value = self._frame + self._encode(row)
            except Exception as fault:
                if (violation := schema_violation(row, fault)) is None:
                    raise
                return DeadLetter(ErrorCode.UNENCODABLE, stage, None, f"the event's {violation}")
        except PayloadRejectedError as rejection:
            return DeadLetter(rejection.code, rejection.stage, rejection.field, rejection.message)
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


def schema_violation(row: list[Any], fault: Exception) -> str | None:
    """Return what of an event does not fit the schema, without its value; None if all fits and the encoder is at fault.

    `fault` is what the encoder raised.
    """
    if isinstance(fault, UnicodeEncodeError):
        return "text is not Unicode: it has half of a surrogate pair"
    try:
        fastavro.validate(tree(row), _SCHEMA, raise_errors=True)
    except ValidationError as invalid:
        error = invalid.errors[-1]  # the branch of the union that is not null
        kind = error.schema if isinstance(error.schema, str) else error.schema["type"]
        return f"{str(error.field).removeprefix('sternpost.events.')} must be of type {kind}"
    return None


class DuplicateIndex(Protocol):
    """Remembers records by their keys."""

    def find_duplicates(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        """Return the offset of each record's first occurrence, or None for a new record; remember all of them."""
        ...


class BatchProcessor:
    """Separates duplicates, and turns the other records into events."""

    def __init__(self, duplicates: DuplicateIndex, pipeline: Pipeline) -> None:
        """Find duplicates with `duplicates`, and map with `pipeline`."""
        self._duplicates = duplicates
        self._outcome = pipeline.outcome

    def __call__(self, records: Sequence[RawRecord]) -> list[Outcome]:
        """Return one outcome for each record. Raises what the duplicate index raises, and nothing else."""
        outcomes: list[Outcome] = []
        for start in range(0, len(records), SLICE):
            outcomes += self._process(records[start : start + SLICE])
        return outcomes

    def _process(self, records: Sequence[RawRecord]) -> list[Outcome]:
        identities = [identify(record) for record in records]
        offsets = self._duplicates.find_duplicates(records, [identified.key for identified in identities])
        outcome = self._outcome
        return [
            outcome(record, identified) if offset is None else Duplicate(offset)
            for record, identified, offset in zip(records, identities, offsets, strict=True)
        ]


class DeadLetterLimit:
    """Halts the processor if too many of the last `window` records failed by our own fault: a bad deployment.

    Duplicates, failures that senders cause and redriven letters (with an `attempt`) do not count: however many there
    are, they can neither stop the processor nor hide a fault. The count is exact however the records are batched.
    """

    def __init__(self, ratio: float, window: int) -> None:
        """Halt once more than `ratio` of the last `window` records failed by our own fault. With 1 it never halts."""
        self._window = window
        self._most = ratio * window
        self._seen = 0
        self._failed: deque[int] = deque()
        """The ordinals of the records in the window that failed."""
        self._then = self._seen, self._failed
        """The values of both once the last checked batch is committed."""

    def check(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        """Check a batch; it counts once `committed` is called.

        Raises ProcessorHaltedError if the limit is exceeded.
        """
        seen, failed = self._seen, self._failed.copy()
        for record, outcome in zip(records, outcomes, strict=True):
            kind = type(outcome)
            if kind is Event:
                seen += 1
            elif kind is DeadLetter and outcome.code in OWN_FAULTS and not attempt_of(record):  # type: ignore[union-attr]
                seen += 1
                failed.append(seen)
                while failed[0] <= seen - self._window:
                    failed.popleft()
                if seen >= self._window and len(failed) > self._most:
                    raise ProcessorHaltedError(
                        f"{len(failed)} of the last {self._window} records became dead letters by a fault of "
                        f"Sternpost's own (the last: {outcome.code}), more than "  # type: ignore[union-attr]
                        "processor.dead_letter_limit_ratio allows; nothing was lost, and the batch in hand was not "
                        "committed. `sternpost replay --from 1h --dry-run` says which records and why: go back to the "
                        "version before, or raise the limit (1 never stops) and redrive the letters after an upgrade"
                    )
        self._then = seen, failed

    def committed(self) -> None:
        """Count the last checked batch, which was committed."""
        self._seen, self._failed = self._then


def build_pipeline(profile: str, *, schema_id: int = 0, max_event_bytes: int | None = None) -> Pipeline:
    """Build the pipeline of this version of Sternpost.

    `profile` is `rudderstack` or `corrected`. `schema_id` is the registry's id of the newest schema, which goes before
    each event; 0 is for events that are not written. `max_event_bytes` is the largest record that the events topic
    accepts, None for no limit. Raises ValueError for any other profile.
    """
    return Pipeline(Mapper(profile), encode, schema_id, max_event_bytes)


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
