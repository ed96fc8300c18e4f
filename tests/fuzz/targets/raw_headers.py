"""Raw records that another program wrote: any headers, key and timestamp. Two of them have one key only if they say so.

The oracle of the record's identity is a slower reading of the same headers.
"""

import re
from hashlib import sha256

from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord, attempt_of, identify, source_of
from schemas import record_headers
from schemas.error_codes import ErrorCode
from schemas.track_event import EventReader
from tests.fuzz.taker import Taker, piece

_NAMES = [name for key, name in vars(record_headers).items() if key.isupper() and key != "DEFAULT_SOURCE"]
_BODY = b'{"metric":"sent","object_type":"email","timestamp":1,"data":{"customer_id":"1"}}'
_PIPELINES = [build_pipeline(profile) for profile in ("rudderstack", "corrected")]
_READ = EventReader.of_newest()
_TIMES_MS = (-1, 0, 1_700_000_000_000, 2**63 - 1, -(2**63))


def _headers(**values: bytes) -> bytes:
    named = {name.upper(): value for name, value in values.items()}
    return b"".join(bytes([_NAMES.index(getattr(record_headers, n))]) + b"\x01" + piece(v) for n, v in named.items())


SEEDS = [
    b"\x02\x02" + _headers(source=b"production", event_id=b"01E4C4CT6YDC7Y5M7FE1GWWPQJ", received_at=b"1700000000000"),
    b"\x01\x02" + _headers(source=b"\xff\xfe", event_id=b"\xff", attempt=b"4294967296", request_timestamp=b"1_0"),
    b"\x00\x03" + _headers(source=b"a" * 255, event_id=b"b" * 65, attempt=b" 7 ", traceparent=b"\xff"),
    b"\x00\x00" + _headers(source=b"", event_id=b"", attempt=b"-1", received_at=b"1e3"),
]
WORDS = [b"4294967295", b"253402300799999", "١".encode(), b"+1", b"_"]


def check(data: bytes) -> None:
    taker = Taker(data)
    one, other = _record(taker), _record(taker)
    for record in (one, other):
        identity = identify(record)
        assert (identity.source, attempt_of(record), identity.event_id) == _expected(record)
        assert source_of(record) == identity.source
        assert 0 <= identity.received_at_ms <= 253_402_300_799_000
        for pipeline in _PIPELINES:
            outcome = pipeline.outcome(record, identity)
            assert not isinstance(outcome, DeadLetter) or outcome.code not in (
                ErrorCode.INTERNAL_ERROR,
                ErrorCode.UNENCODABLE,
            ), outcome
            if not isinstance(outcome, DeadLetter):
                event = _READ(outcome.value)
                assert event["context"]["sourceId"] == identity.source
                assert event["context"]["origin"] == {"topic": "raw", "partition": 1, "offset": 2}
                assert event["messageId"] == identity.event_id
    same = _raw_source(one) == _raw_source(other) and _expected(one)[1:] == _expected(other)[1:]
    assert (identify(one).key == identify(other).key) == same


def _record(taker: Taker) -> RawRecord:
    timestamp_ms = _TIMES_MS[taker.number(len(_TIMES_MS))]
    headers = []
    for _ in range(taker.number(8)):
        name = _NAMES[taker.number(len(_NAMES))]
        headers.append((name, taker.piece() if taker.flag() else None))
    return RawRecord("raw", 1, 2, timestamp_ms, taker.piece(), _BODY, headers)


def _raw_source(record: RawRecord) -> bytes:
    return dict(record.headers).get("source") or b"default"


def _expected(record: RawRecord) -> tuple[str, int, str]:
    """Return source, attempt and event id."""
    held = dict(record.headers)
    attempt = held.get("attempt") or b""
    number = int(attempt) if re.fullmatch(rb"[0-9]{1,18}", attempt) else 0
    try:
        event_id = (held.get("event_id") or b"").decode()
    except UnicodeDecodeError:
        event_id = ""
    source = _raw_source(record).decode("utf-8", "backslashreplace")
    return source, number if number < 2**32 else 0, event_id or sha256(_BODY).hexdigest()
