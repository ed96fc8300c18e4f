"""Records that strangers wrote into the dead-letter topic, as `dead-letters`, `find` and the console read them.

The oracle: whatever is shown can be written as JSON, and what goes back to the raw topic is the raw record again.
"""

import json
from typing import Any, cast

from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, attempt_of, identify
from runtime.kafka.range_consumer import Message
from runtime.settings.model import Settings
from schemas import record_headers
from schemas.error_codes import ErrorCode
from sternpost.operations.dead_letters.index import DeadLetterIndex
from sternpost.operations.dead_letters.listing import over_time
from sternpost.operations.dead_letters.record import as_json_with_payload, parse_dead_letter, parse_redrive_marker
from sternpost.operations.dead_letters.redrive import raw_headers, redriven_record
from sternpost.operations.dead_letters.summary import summarize
from sternpost.operations.marked_payload import excerpt, lines
from tests.fuzz.taker import Taker, piece

_NAMES = [name for key, name in vars(record_headers).items() if key.isupper() and isinstance(name, str)]
_TIMES_MS = (1_700_000_000_000, -1, 0, 2**63 - 1, -(2**63))
_SETTINGS = Settings()
_PIPELINE = build_pipeline("rudderstack")


def _letter(body: bytes, values: dict[str, bytes], timestamp: int = 0) -> bytes:
    headers = b"".join(bytes([_NAMES.index(name), 1]) + piece(value) for name, value in values.items())
    return bytes([timestamp, len(values)]) + headers + piece(b"key") + body


_WHOLE = {
    "error_code": b"missing_identity",
    "error_field": b"data.identifiers",
    "error_stage": b"map",
    "error_message": b"names no person",
    "raw_topic": b"customerio.raw",
    "raw_partition": b"2",
    "raw_offset": b"7",
    "source": b"production",
    "event_id": b"1",
    "received_at": b"1700000000000",
}
SEEDS = [
    _letter(b'{"data":{"identifiers":{}}}', _WHOLE),
    _letter(b'{"a": [1, {"b": "\x1b[2J"}]}', {"error_code": b"x", "error_field": b"a[1].b", "attempt": b"4294967295"}),
    _letter(b"\xff{", {"error_code": b"\xff", "raw_partition": b"99999999999", "attempt": b"1_0"}),
    _letter(b"", {"redriven_offset": b"17"}),
    _letter(b"{}", {"error_code": b"\x9b31m", "redriven_offset": b"9999999999999999999"}, timestamp=3),
]
WORDS = [b"data.identifiers", b"[0]", b"4294967295", b"9223372036854775808", b"error_code"]


class _Message:
    """What is read of a `confluent_kafka.Message`."""

    def __init__(self, timestamp_ms: int, headers: list[tuple[str, bytes | None]], key: bytes, value: bytes) -> None:
        self._timestamp_ms, self._headers, self._key, self._value = timestamp_ms, headers, key, value

    def timestamp(self) -> tuple[int, int]:
        return 1, self._timestamp_ms

    def headers(self) -> Any:
        return self._headers or None

    def key(self) -> bytes | None:
        return self._key or None

    def value(self) -> bytes | None:
        return self._value or None

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return 2


def check(data: bytes) -> None:
    taker = Taker(data)
    timestamp_ms = _TIMES_MS[taker.number(len(_TIMES_MS))]
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(taker.number(16)):
        name = _NAMES[taker.number(len(_NAMES))]
        headers.append((name, taker.piece() if taker.flag() else None))
    made = _Message(timestamp_ms, headers, taker.piece(), taker.rest())
    message = cast(Message, made)
    marker = parse_redrive_marker(message)
    assert marker is None or (marker[0] == 1 and 0 <= marker[1] < 2**63)
    letter = parse_dead_letter(message)
    assert (letter is None) == (record_headers.ERROR_CODE not in dict(headers))
    if letter is None:
        return
    json.dumps(letter.as_json(), ensure_ascii=False).encode()
    json.dumps(as_json_with_payload(letter, message), ensure_ascii=False).encode()
    index = DeadLetterIndex()
    index.add(letter)
    entry = index.get(1, 2)
    assert entry is not None
    assert (entry.attempt, entry.failed_at_ms) == (letter.attempt, letter.failed_at_ms)
    json.dumps([*(group.as_json() for group in summarize(index)), over_time(index).as_json()])
    for line in [*lines(message.value() or b"", letter.field), *excerpt(message.value() or b"", letter.field)]:
        assert line.text.isprintable()
        assert 0 <= line.start <= line.end
    record = redriven_record(_SETTINGS, letter, message)
    assert attempt_of(record) == min(letter.attempt + 1, record_headers.LARGEST_ATTEMPT)
    back = raw_headers(message)
    kept = [(name, value) for name, value in headers if not name.startswith(("error_", "raw_")) and name != "attempt"]
    assert back[: len(kept)] == kept
    assert {name for name, _ in back[len(kept) :]} <= {"received_at", "attempt"}
    outcome = _PIPELINE.outcome(record, identify(record))
    if isinstance(outcome, DeadLetter):
        assert outcome.code not in (ErrorCode.INTERNAL_ERROR, ErrorCode.UNENCODABLE), outcome
