"""The publisher alone, where the endpoint gives no handle on what happens when."""

import asyncio
import ctypes
import os

import pytest
from confluent_kafka import KafkaError

from ingest import delivery_report_fd
from ingest.publisher import Publisher, PublishOutcome, TooManyInFlightError
from runtime import metrics
from runtime.errors import DependencyError
from runtime.kafka.range_consumer import read
from runtime.settings.model import Settings
from tests.support.kafka import SettingsMaker, TopicMaker
from tests.support.waiting import PATIENCE_S

NEVER = float("inf")


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    return make_settings(
        make_topics(), ingest={"max_in_flight_requests": 3, "max_in_flight_bytes": 100, "max_body_bytes": 90}
    )


def publish(publisher: Publisher, value: bytes = b"body", due: float = NEVER) -> "asyncio.Future[PublishOutcome]":
    return publisher.publish("key", value, [("source", b"test")], 1_700_000_000_000, due)


def test_an_acknowledgement_after_the_deadline_harms_nothing(settings: Settings) -> None:
    def late() -> float:
        lines = metrics.render().decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(f'{name}{{error="late"}}'))

    name = metrics.INGEST_PRODUCE_ERRORS.name

    async def run() -> None:
        publisher = Publisher(settings)
        await publisher.warm_up()
        before = late()
        now = asyncio.get_running_loop().time()
        given_up, waited_for = publish(publisher, due=now), publish(publisher, due=now + 60)
        publisher.expire(now)
        assert given_up.result() is PublishOutcome.LATE
        assert await waited_for is PublishOutcome.WRITTEN
        await publisher.close(PATIENCE_S)
        publisher.run_maintenance()
        assert late() == before + 1
        assert await publish(publisher) is PublishOutcome.WRITTEN

    asyncio.run(run())


def test_without_a_descriptor_acknowledgements_are_polled_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_report_fd, "open_fd", lambda _: None)

    async def run() -> None:
        publisher = Publisher(settings)
        await publisher.warm_up()
        for _ in range(3):
            assert await publish(publisher) is PublishOutcome.WRITTEN

    asyncio.run(run())


def test_bounds_count_what_waits_and_no_more(settings: Settings) -> None:
    async def run() -> None:
        publisher = Publisher(settings)
        await publisher.warm_up()
        waiting = [publish(publisher) for _ in range(3)]
        with pytest.raises(TooManyInFlightError):
            publish(publisher)
        assert await asyncio.gather(*waiting) == [PublishOutcome.WRITTEN] * 3
        waiting = [publish(publisher, bytes(90)), publish(publisher, bytes(10))]
        with pytest.raises(TooManyInFlightError):
            publish(publisher, b"x")
        assert await asyncio.gather(*waiting) == [PublishOutcome.WRITTEN] * 2

    asyncio.run(run())


def test_producers_that_fail_for_good_are_replaced_one_after_the_other(settings: Settings) -> None:
    """With a pause, since brokers may refuse each; and none stays behind with its threads and connections."""

    async def fail(publisher: Publisher) -> None:
        library, handle = delivery_report_fd._library(), delivery_report_fd.handle(publisher._producer)
        assert library is not None
        library.rd_kafka_test_fatal_error.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
        library.rd_kafka_test_fatal_error(handle, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"as brokers may cause it")
        assert await publish(publisher) is PublishOutcome.REFUSED
        publisher.run_maintenance()

    async def run() -> None:
        publisher = Publisher(settings)
        await publisher.warm_up()
        stuck = publish(publisher)
        first = id(publisher._producer)
        await fail(publisher)
        assert await stuck in (PublishOutcome.REFUSED, PublishOutcome.WRITTEN)
        assert await publish(publisher) is PublishOutcome.WRITTEN
        second = id(publisher._producer)
        assert second != first
        threads = len(os.listdir("/proc/self/task"))
        await fail(publisher)
        assert id(publisher._producer) == second
        for _ in range(4):
            publisher._replace_at = 0
            await fail(publisher)
            assert await publish(publisher) is PublishOutcome.WRITTEN
        async with asyncio.timeout(PATIENCE_S):
            # Some may be the executor's own; a producer has three.
            while len(os.listdir("/proc/self/task")) > threads + 4:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)

    asyncio.run(run())


def test_a_missing_topic_is_said_before_the_first_webhook(settings: Settings) -> None:
    missing = settings.model_copy(update={"topics": settings.topics.model_copy(update={"raw": "test-not-there"})})

    async def run() -> None:
        with pytest.raises(DependencyError, match="sternpost topics create"):
            await Publisher(missing).warm_up()

    asyncio.run(run())


def test_a_body_that_names_nobody_goes_to_the_same_partition_each_time(settings: Settings) -> None:
    bodies = [b"%d" % number for number in range(20)]

    async def run() -> None:
        publisher = Publisher(settings)
        await publisher.warm_up()
        for body in bodies + bodies:
            assert await publisher.publish(None, body, [], 1_700_000_000_000, NEVER) is PublishOutcome.WRITTEN
        await publisher.close(PATIENCE_S)

    asyncio.run(run())
    found: dict[bytes, set[int]] = {}
    for message in read(settings, settings.topics.raw):
        found.setdefault(message.value() or b"", set()).add(message.partition() or 0)
    assert sorted(found) == sorted(bodies)
    assert all(len(partitions) == 1 for partitions in found.values())
    assert len({partition for partitions in found.values() for partition in partitions}) > 1
