"""The doctor's webhook checks against a real HTTP server that answers as scripted."""

from collections.abc import Iterator

import pytest

from runtime.settings.loader import load
from sternpost.operations import signed_webhook
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor import endpoint
from sternpost.operations.severity import Severity
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import PATIENCE_S

SOURCES = {"sources": [{"name": "main", "write_keys": ["key"], "signing_keys": ["secret"]}]}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(signed_webhook, "TIMEOUT_S", PATIENCE_S)  # a busy machine's answer is an answer
    with receiving() as server:
        yield server


def test_an_endpoint_that_stops_answering_is_a_fault_of_its_source(receiver: Receiver) -> None:
    receiver.statuses = [401, 0]
    checks = list(endpoint.check(load(None, SOURCES), ChangesAllowed(), f"{receiver.url}/v1/webhook", send=False))
    assert [(check.name, check.severity) for check in checks] == [
        ("endpoint", Severity.OK),
        ("source main", Severity.FAULT),
    ]
    assert "stopped answering" in checks[1].detail


def test_keys_are_quoted_and_proxies_of_the_environment_not_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    receiver.statuses = [401]
    assert endpoint._post(f"{receiver.url}/v1/webhook", "a key&more", "secret", b"{}") == 401
    path, headers, _ = receiver.requests[0]
    assert path == "/v1/webhook?writeKey=a%20key%26more"
    assert {"X-CIO-Signature", "X-CIO-Timestamp"} <= set(headers)


@pytest.mark.parametrize("url", ["localhost:1/v1/webhook", "http://127.0.0.1:1/v1/webhook", "http://["])
def test_an_address_without_an_endpoint_is_a_fault(url: str) -> None:
    [check] = endpoint.check(load(None, SOURCES), ChangesAllowed(), url, send=False)
    assert (check.name, check.severity) == ("endpoint", Severity.FAULT)
    assert "start `sternpost ingest`" in check.remedy
