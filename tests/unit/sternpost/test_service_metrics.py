"""What a service says on its admin port, and what a silent one is said to be."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Barrier

import pytest

from runtime import admin_listener
from runtime.errors import CheckFailedError
from runtime.settings.loader import load
from runtime.settings.model import Settings
from sternpost.operations import add_partitions
from sternpost.operations.status import admin_ports
from sternpost.operations.status.service import fetch_statuses, sum_samples
from sternpost.operations.status.service_metrics import scrape
from tests.support.waiting import PATIENCE_S


def test_samples_are_added_up_over_labels_without_buckets() -> None:
    exposition = """\
# HELP sternpost_a_total x
# TYPE sternpost_a_total counter
sternpost_a_total{code="x } y 7"} 2.0
sternpost_a_total{code="z"} 3.0
sternpost_b_seconds_bucket{le="1"} 9.0
sternpost_b_seconds_count 4.0
python_info 1.0
"""
    assert sum_samples(exposition) == {"sternpost_a_total": 5.0, "sternpost_b_seconds_count": 4.0}


def settings_with(ingest: int, processor: int) -> Settings:
    return load(None, {"ingest.admin_port": ingest, "processor.admin_port": processor})


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that takes connections, and on which nothing ever answers."""
    monkeypatch.setattr(admin_ports, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that is bound, so that nobody else takes it, and that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_both_services_are_asked_at_the_same_time() -> None:
    both = Barrier(2)

    def ready() -> tuple[bool, str]:
        both.wait(PATIENCE_S)  # raises unless the other is asked before this one has answered
        return True, ""

    with ExitStack() as stack:
        ports = []
        for _ in range(2):
            listener = admin_listener.serve("127.0.0.1", 0, ready=ready, alive=lambda: (True, ""))
            stack.callback(listener.close)
            ports.append(listener.port)
        found = fetch_statuses(settings_with(*ports))
    assert [(said.name, said.reachable, said.ready) for said in found] == [
        ("ingest", True, True),
        ("processor", True, True),
    ]


def test_a_service_that_does_not_answer_in_time_may_be_running(silent: int) -> None:
    for said in fetch_statuses(settings_with(silent, silent)):
        assert (said.address, said.reachable, said.timed_out) == (f"http://127.0.0.1:{silent}", False, True)
        assert said.reason == "no answer within 15 s"
    address = f"http://127.0.0.1:{silent}/metrics"
    assert scrape([address]).silent == {address: "no answer within 15 s"}


def test_a_service_that_does_not_run_is_not_said_to_be_slow(nobody: int) -> None:
    for said in fetch_statuses(settings_with(nobody, nobody)):
        assert (said.reachable, said.timed_out) == (False, False)
        assert "refused" in said.reason


def test_partitions_are_not_added_while_ingest_may_be_running(silent: int) -> None:
    """It could be slow, and a person's events on their way to the old partition."""
    with pytest.raises(CheckFailedError, match=r"no answer within 15 s, so ingest may be running.*--force"):
        add_partitions._check_quiet(settings_with(silent, silent))
