"""What systemd is told."""

import pytest

from runtime.systemd import SOCKET_VARIABLE, Notifier
from tests.support import notify_socket


def test_what_was_said_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with notify_socket.listening() as systemd:
        monkeypatch.setenv(SOCKET_VARIABLE, systemd.address)
        notifier = Notifier()
        for reason in ("Kafka is\naway", "Kafka is\naway", "the schema is missing"):
            notifier.tell(ready=False, reason=reason, stopping=False)
        assert systemd.heard() == "READY=1\nSTATUS=not ready: Kafka is away\n"
        assert systemd.heard() == "READY=1\nSTATUS=not ready: the schema is missing\n"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@sternpost-test-nobody"])
def test_nobody_who_listens_is_no_fault(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, address)
    Notifier().tell(ready=True, reason="", stopping=False)
