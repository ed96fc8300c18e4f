"""Time, memory and disk that a processor without state needs to restore the event ids of a window.

The group's offsets are at the end of the raw topic, as they are when a worker moves to another machine. The worker is
ready once it has read the whole window again.
"""

import time

from confluent_kafka import KafkaException, TopicPartition

from benchmarks.cluster import OURS, Cluster, Place, fresh
from benchmarks.payloads import webhook
from benchmarks.process_tree import ProcessTree
from benchmarks.raw_topic import Headers, RawTopic
from benchmarks.result import Result
from benchmarks.start import is_ready
from runtime.kafka.clients import make_consumer
from runtime.settings.model import Settings
from schemas.track_event import EventReader
from sternpost.local import ports

PARTITIONS = 4
BODIES = 1_000
"""Bodies that take turns: an event's id is taken from its record's header."""
SENT_AGAIN = 1_000
PATIENCE_S = 900


def measure(cluster: Cluster, ids: int) -> Result:
    """One run. `known_share`: of ids that are sent once more, how many are taken for what they are."""
    port = ports.choose(0, "processor", "")
    with fresh(cluster, PARTITIONS, processor={"admin_port": port}) as place:
        ends = _fill(place.settings, ids)
        _commit(place.settings, ends)
        process = place.process(OURS, None, service="process", environment={})
        began = time.monotonic()
        process.start()
        try:
            assert process.pid
            tree = ProcessTree(process.pid)

            def ready() -> bool:
                tree.sample_rss()
                return is_ready(port)

            process.wait_until(ready, PATIENCE_S)
            seconds, cpu_s = time.monotonic() - began, tree.cpu_s()
            figures = {
                "seconds": seconds,
                "ids_per_s": ids / seconds,
                "cpu_us_per_id": 1e6 * cpu_s / ids,
                "peak_rss_mib": tree.peak_rss_bytes / 2**20,
                "known_share": 1 - _taken_for_new(place.settings, ids) / SENT_AGAIN,
            }
        finally:
            process.stop()
        figures["disk_mib"] = _disk_bytes(place) / 2**20
    return Result("catch-up", OURS, {"ids": ids, "partitions": PARTITIONS}, figures)


def _fill(settings: Settings, ids: int) -> dict[int, int]:
    """Write this many events, each with its own id, and return the end offsets of the partitions."""
    bodies = [webhook(index).body for index in range(BODIES)]
    with RawTopic(settings) as raw:
        for index in range(ids):
            _write(raw, bodies[index % BODIES], index)
    consumer = make_consumer(settings, {"group.id": "bench-reader"})
    try:
        return {p: consumer.get_watermark_offsets(_of(settings, p), timeout=30)[1] for p in range(PARTITIONS)}
    finally:
        consumer.close()


def _write(raw: RawTopic, body: bytes, index: int) -> None:
    """To a partition by turns."""
    headers: Headers = [("source", b"bench"), ("event_id", b"%026d" % index)]
    raw.write(body, "person", headers, index % PARTITIONS)


def _commit(settings: Settings, ends: dict[int, int]) -> None:
    group = make_consumer(settings, {"group.id": settings.processor.group_id})
    offsets = [_of(settings, *end) for end in ends.items()]
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                group.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:  # brokers that have just started load their coordinators
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return
    finally:
        group.close()


def _taken_for_new(settings: Settings, ids: int) -> int:
    """Send known ids, then an unknown one per partition. Return how many of the known ones became events."""
    body = webhook(0).body
    with RawTopic(settings) as raw:
        for number in range(SENT_AGAIN):
            _write(raw, body, number * (ids // SENT_AGAIN))
        for number in range(PARTITIONS):
            _write(raw, body, ids + number)
    consumer = make_consumer(settings, {"group.id": "bench-reader"})
    consumer.assign([TopicPartition(settings.topics.events, p, 0) for p in range(PARTITIONS)])
    new, others = {f"{ids + number:026d}" for number in range(PARTITIONS)}, 0
    read = EventReader.of_newest()
    try:
        while new:
            for message in consumer.consume(1_000, 1.0):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                event_id = read(message.value() or b"")["messageId"]
                if event_id in new:
                    new.remove(event_id)
                else:
                    others += 1
        return others
    finally:
        consumer.close()


def _disk_bytes(place: Place) -> int:
    return sum(file.stat().st_size for file in (place.folder / "state").rglob("*") if file.is_file())


def _of(settings: Settings, partition: int, offset: int = 0) -> TopicPartition:
    return TopicPartition(settings.topics.raw, partition, offset)
