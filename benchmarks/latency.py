"""End-to-end latency at a steady rate: from the answer to a webhook until its event is readable (read_committed)."""

import asyncio
import threading
import time
from collections.abc import Callable

from confluent_kafka import TopicPartition

from benchmarks import load
from benchmarks.cluster import OURS, Cluster, fresh
from benchmarks.ingest import PATH, signed, start
from benchmarks.payloads import webhook
from benchmarks.result import Result
from runtime.kafka.clients import make_consumer
from runtime.settings.model import Settings
from schemas.track_event import EventReader
from sternpost.local import ports

CONNECTIONS = 32
WARM_UP_SHARE = 0.2
"""Of the webhooks come first and are not counted."""

PATIENCE_S = 120.0


class _Reader(threading.Thread):
    """When each event could first be read, by its event id."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self.stopping = threading.Event()
        self._read = EventReader.of_newest()
        self._consumer = make_consumer(
            settings, {"group.id": "bench-reader", "fetch.wait.max.ms": 10, "fetch.min.bytes": 1}
        )
        partitions = range(settings.topics.partitions)
        self._consumer.assign([TopicPartition(settings.topics.events, partition, 0) for partition in partitions])

    def run(self) -> None:
        while not self.stopping.is_set():
            for message in self._consumer.consume(1_000, 0.05):
                if message.error() is None:
                    now = time.time()
                    self.seen.setdefault(self._read(message.value() or b"")["messageId"], now)
        self._consumer.close()


def measure(cluster: Cluster, per_s: int, seconds: int) -> Result:
    """One run of both services. Raises DependencyError where one does not come up."""
    port, count = ports.choose(0, "ingest", ""), per_s * seconds
    with fresh(cluster, ingest={"port": port}) as place:
        processor = place.process("processor", None, service="process", environment={})
        processor.start()
        events = _Reader(place.settings)
        events.start()
        try:
            ingest = start(cluster, place, port, OURS, None)
            try:
                _until(lambda: webhook(0).event_id in events.seen)  # the one that tried whether it answers came through

                def request(number: int) -> tuple[str, dict[str, str], bytes]:
                    return PATH, *signed(number, "L")

                answered, failed = asyncio.run(load.at_rate(port, CONNECTIONS, per_s, count, request))
                ids = {number: webhook(number, "L").event_id for number in answered}
                _until(lambda: all(event_id in events.seen for event_id in ids.values()))
            finally:
                ingest.stop()
        finally:
            processor.stop()
            events.stopping.set()
            events.join()
    counted = [number for number in answered if number >= WARM_UP_SHARE * count]
    # An event may be readable before its webhook's answer has come all the way back.
    waits = [max(0.0, events.seen[ids[number]] - answered[number]) for number in counted]
    figures = {
        "p50_ms": load.percentile_ms(waits, 50),
        "p99_ms": load.percentile_ms(waits, 99),
        "longest_ms": 1e3 * max(waits),
        "failed": failed,
        "events": len(ids),
    }
    return Result("latency", OURS, {"webhooks_per_s": per_s, "seconds": seconds}, figures)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all events came out within {PATIENCE_S:.0f} s")
        time.sleep(0.05)
