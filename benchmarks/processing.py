"""Throughput and CPU from raw webhooks in one topic to events in another.

The topic is filled first. A read_committed reader then times the events. The first fifth of them is not counted: it
warms the program up, and events appear one transaction at a time, so that at the first one much of the work for the
others of its transaction is done.
"""

import time

from confluent_kafka import KafkaException, Message, TopicPartition

from benchmarks.cluster import Cluster, fresh
from benchmarks.payloads import PEOPLE, webhook
from benchmarks.process_tree import ProcessTree
from benchmarks.raw_topic import RawTopic
from benchmarks.result import Result
from runtime.kafka.clients import make_consumer
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from schemas.track_event import EventReader
from sternpost.local.process import Process

STALL_S = 120.0
SAMPLE = 1_000
WARM_UP_SHARE = 0.2


def measure(
    cluster: Cluster,
    events: int,
    *,
    subject: str,
    command: str | None = None,
    partitions: int = 4,
    people: int = PEOPLE,
    workers: int = 1,
    benchmark: str = "processing",
) -> Result:
    """One run. Raises DependencyError where the program ends or gives nothing for a minute."""
    with fresh(cluster, partitions, processor={"workers": workers}) as place:
        preload(place.settings, events, people)
        settings = place.settings
        environment = {
            "RAW": settings.topics.raw,
            "OUT": settings.topics.events,
            "DEAD": settings.topics.dead_letters,
            "BOOTSTRAP": cluster.bootstrap_servers,
            "REGISTRY": cluster.registry_url,
            "GROUP": settings.processor.group_id,
        }
        process = place.process(subject, command, service="process", environment=environment)
        process.start()
        try:
            figures, sample = _watch(settings, process, events)
        finally:
            process.stop()
        figures["decoded_share"] = _decoded(settings, sample)
    case = {"events": events, "partitions": partitions, "people": people, "workers": workers}
    return Result(benchmark, subject, case, figures)


def preload(settings: Settings, events: int, people: int) -> None:
    """Fill the raw topic as ingest does."""
    with RawTopic(settings) as raw:
        for index in range(events):
            made = webhook(index, people=people)
            raw.write(made.body, made.person, made.headers())


def _watch(settings: Settings, process: Process, events: int) -> tuple[dict[str, float], list[Message]]:
    """Read the output. Return the figures and the last records."""
    assert process.pid
    tree, started, out = ProcessTree(process.pid), time.monotonic(), settings.topics.events
    consumer = make_consumer(settings, {"group.id": "bench-reader", "fetch.wait.max.ms": 50})
    consumer.assign([TopicPartition(out, partition, 0) for partition in range(settings.topics.partitions)])
    seen, first, last = 0, 0.0, started
    warm_at: tuple[int, float, float] | None = None
    """Events, time and CPU seconds when the warm-up was over."""
    sample: list[Message] = []
    try:
        while seen < events:
            # Never more than are due, so that the last does not wait for more.
            messages = consumer.consume(min(1_000, events - seen), 0.25)
            now = time.monotonic()
            for message in messages:
                if (error := message.error()) is not None:
                    raise KafkaException(error)
            if messages:
                first = first or now
                seen, last, sample = seen + len(messages), now, messages
                if warm_at is None and seen >= WARM_UP_SHARE * events:
                    warm_at = seen, now, tree.cpu_s()
            elif now - last > STALL_S:
                raise process.failure(f"gave {seen} of {events} events, and none for {STALL_S:.0f} s")
            if process.pid is None:
                raise process.failure(f"ended with exit code {process.exit_code}")
            tree.sample_rss()
        cpu_s = tree.cpu_s()
    finally:
        consumer.close()
    warm_seen, warm_time, warm_cpu_s = warm_at or (0, first, 0.0)
    timed = max(seen - warm_seen, 1)
    return {
        "events_per_s": timed / max(last - warm_time, 1e-9),
        "cpu_us_per_event": 1e6 * (cpu_s - warm_cpu_s) / timed,
        "peak_rss_mib": tree.peak_rss_bytes / 2**20,
        "first_event_s": first - started,
        "events_out": seen,
    }, sample[-SAMPLE:]


def _decoded(settings: Settings, sample: list[Message]) -> float:
    """Return the share of the sample that can be read with the registry's schema."""
    with Registry(settings.schema_registry) as registry:
        read = EventReader(registry.schema)
        return sum(_reads(read, message.value() or b"") for message in sample) / len(sample)


def _reads(read: EventReader, value: bytes) -> bool:
    try:
        return bool(read(value))
    except ValueError:
        return False
