"""The sender against a real HTTP server that answers as scripted."""

import socket
from collections.abc import Iterator

import pytest

from sternpost.local import customerio_simulator
from sternpost.local.customerio_simulator import STALL_S, WebhookFeed
from sternpost.operations.signed_webhook import signature
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(customerio_simulator, "TIMEOUT_S", PATIENCE_S)  # a busy machine's answer is an answer
    with receiving() as server:
        yield server


def test_the_signature_is_the_hmac_of_version_timestamp_and_body() -> None:
    # printf 'v0:1700000000:{"a":1}' | openssl dgst -sha256 -hmac key
    assert signature("key", 1_700_000_000, b'{"a":1}') == (
        "3f00229db66e5b0b7299ad483b6cb6cff2d9bdd12ad57667f525e10266fa6a6b"
    )


def test_events_go_in_order_and_a_failed_one_holds_up_those_behind_it(receiver: Receiver) -> None:
    receiver.statuses = [200, 503, 503, 200]
    waits: list[float] = []
    feed = WebhookFeed(f"{receiver.url}/v1/webhook", "a key&more", "s3cret", sleep=waits.append)
    report = feed.send_all([b"1", b"2", b"3"])
    feed.close()
    assert [body for _, _, body in receiver.requests] == [b"1", b"2", b"2", b"2", b"3"]
    assert receiver.requests[0][0] == "/v1/webhook?writeKey=a%20key%26more"
    for _, headers, body in receiver.requests:
        assert headers["X-CIO-Signature"] == signature("s3cret", int(headers["X-CIO-Timestamp"]), body)
    assert waits == sorted(waits)
    assert len(waits) == 2
    assert max(waits) < STALL_S
    assert (report.sent, report.acknowledged, report.tries, report.stalls) == (3, 3, 5, 0)
    assert report.answers == {"200": 3, "503": 2}


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521, 0])
def test_some_answers_and_broken_connections_cost_an_hour(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    waits: list[float] = []
    feed = WebhookFeed(f"{receiver.url}/v1/webhook", "k", sleep=waits.append)
    assert feed.send(b"{}")
    feed.close()
    assert waits == [STALL_S]
    assert feed.report.stalls == 1
    assert "X-CIO-Signature" not in receiver.requests[0][1]


def test_an_event_is_given_up_after_the_longest_wait_and_the_next_goes_on(receiver: Receiver) -> None:
    receiver.statuses = [503] * 5
    feed = WebhookFeed(f"{receiver.url}/v1/webhook", "k", give_up_s=10, sleep=lambda _: None)
    report = feed.send_all([b"1", b"2"])
    feed.close()
    assert (report.given_up, report.acknowledged) == (1, 1)
    assert receiver.requests[-1][2] == b"2"


def test_nobody_listening_counts_as_a_broken_connection() -> None:
    with socket.socket() as bound:  # so that nobody else takes the port
        bound.bind(("127.0.0.1", 0))
        feed = WebhookFeed(f"http://127.0.0.1:{bound.getsockname()[1]}", "k", give_up_s=1, sleep=lambda _: None)
        assert not feed.send(b"{}")
    assert feed.report.answers == {"connection": 1}


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="http://"):
        WebhookFeed("example.com/v1/webhook", "k")
