"""Large bodies are examined beside the event loop, one at a time, within a limit, and with the result of small ones."""

import asyncio
import hashlib
import hmac
import threading

import pytest

from ingest import examination
from ingest.examination import LargeBodyExaminer, examine
from ingest.request_body import ReceiveBufferFullError
from ingest.sources import Source
from schemas.customerio.event_identity import Identity

BODY = b'{"event_id":"1","data":{"customer_id":"2"}}'
PACKED = b"as it was received"
UNSIGNED = Source("unsigned", [], [])
SIGNED = Source("signed", [b"old", b"new"], [])


def signature(body: bytes, key: bytes = b"new") -> str:
    return hmac.new(key, b"v0:1700000000:" + body, hashlib.sha256).hexdigest()


def test_without_signing_keys_a_body_has_its_identity() -> None:
    assert examine(UNSIGNED, None, None, BODY, BODY) == Identity("1", "2")


@pytest.mark.parametrize("of", [BODY, PACKED])
@pytest.mark.parametrize("key", [b"old", b"new"])
def test_a_signature_of_either_form_by_either_key_is_valid(of: bytes, key: bytes) -> None:
    assert examine(SIGNED, "1700000000", signature(of, key), PACKED, BODY) == Identity("1", "2")


@pytest.mark.parametrize(("of", "key"), [(b"another body", b"new"), (BODY, b"another key")])
def test_any_other_signature_is_not(of: bytes, key: bytes) -> None:
    assert examine(SIGNED, "1700000000", signature(of, key), PACKED, BODY) is None
    assert examine(SIGNED, "1700000000", signature(of, key), BODY, BODY) is None


def test_others_go_on_meanwhile_and_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    at_once: list[int] = []

    def slow(body: bytes) -> Identity:
        at_once.append(1)
        begun.set()
        assert go_on.wait(60)
        assert at_once.pop() == 1
        assert at_once == [], "two at a time"
        return Identity(body.decode(), None)

    monkeypatch.setattr(examination, "identify", slow)

    async def examine_three() -> None:
        examiner = LargeBodyExaminer(max_waiting_bytes=5)
        first, second = (
            asyncio.create_task(examiner.examine(UNSIGNED, None, None, body, body)) for body in (b"ab", b"cde")
        )
        await asyncio.to_thread(begun.wait, 60)  # the event loop turns
        with pytest.raises(ReceiveBufferFullError):
            await examiner.examine(UNSIGNED, None, None, b"f", b"f")
        go_on.set()
        assert [(await one).event_id for one in (first, second)] == ["ab", "cde"]  # type: ignore[union-attr]
        assert await examiner.examine(UNSIGNED, None, None, b"ghijk", b"ghijk") == Identity("ghijk", None)

    asyncio.run(examine_three())
