"""The descriptor that signals delivery reports."""

import contextlib
import os
import select
import sys

import pytest
from confluent_kafka import Producer

from ingest import delivery_report_fd
from tests.support.waiting import PATIENCE_S

MOCK = {"test.mock.num.brokers": 1, "linger.ms": 0, "log_level": 0}
"""A broker within librdkafka acknowledges at once, whereas one that is away would be given up a second later."""


@pytest.mark.skipif(sys.platform != "linux", reason="there are eventfds on Linux only")
def test_the_descriptor_tells_of_a_report_once() -> None:
    """Where this fails after an update of confluent_kafka: look whether Producer still begins with its handle, and
    update the size it is known by; without, everything works, by polling."""
    producer = Producer(MOCK)
    event = delivery_report_fd.open_fd(producer)
    assert event is not None
    reports: list[object] = []
    for round_ in (1, 2):
        producer.produce("topic", b"x", on_delivery=lambda error, _: reports.append(error))
        while len(reports) < round_:
            assert select.select([event], [], [], PATIENCE_S)[0], "nothing was told"
            os.eventfd_read(event)
            producer.poll(0)
    assert len(reports) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="there are eventfds on Linux only")
def test_a_producer_that_outlives_its_descriptor_writes_to_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be that of a webhook's connection by then."""
    producer = Producer(MOCK)
    event = delivery_report_fd.open_fd(producer)
    assert event is not None
    closed: list[int] = []
    with monkeypatch.context() as kept_open:  # so that what is written to it can be seen
        kept_open.setattr("os.close", closed.append)
        delivery_report_fd.close_fd(producer, event)
    assert closed == [event]
    try:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(event)
        producer.produce("topic", b"x")
        assert producer.flush(PATIENCE_S) == 0
        with pytest.raises(BlockingIOError):
            os.eventfd_read(event)
    finally:
        os.close(event)


def test_an_unknown_producer_has_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_report_fd, "_PRODUCER_BYTES", 1)
    assert delivery_report_fd.open_fd(Producer(MOCK)) is None
