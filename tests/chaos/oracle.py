"""What came out, read by a reader that knows nothing of ours but the topics' names and the registry's address."""

import io
import json
import math
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from tests.chaos.load import Sent
from tests.chaos.pipeline import Pipeline
from tests.chaos.records import Record, Topics, at, raw_of_dead_letter
from tests.chaos.verdict import Verdict, Witness, weigh
from tests.support.retention import await_check
from tests.support.waiting import until

EVENTS_RETENTION_MS = 7 * 86_400_000
TOPICS = Topics()


def judge(pipeline: Pipeline, acknowledged: list[Sent], witness: Witness, window_ms: float = math.inf) -> Verdict:
    """Read all topics from their first record to their last, after the brokers removed what is too old, and compare.

    The events occurred in 2020. `witness` saw them while things broke; `window_ms` is the deduplication window.
    """
    await_check(pipeline.stack.bootstrap_servers, EVENTS_RETENTION_MS)
    return weigh(acknowledged, *read_topics(pipeline), witness, window_ms)


def read_topics(
    pipeline: Pipeline, topics: Topics = TOPICS
) -> tuple[Iterator[Record], Iterator[tuple[Record, dict[str, Any]]], Iterator[Record]]:
    """The raw records, the events with what they say, and the dead letters, as they are read."""
    decode = decoder(pipeline.stack.registry_url)
    raw, events, dead_letters = (map(_record, read_all(pipeline, topic)) for topic in topics)
    return raw, ((record, decode(record.value)) for record in events), dead_letters


def _record(message: Message) -> Record:
    return Record(
        str(message.topic()),
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value() or b"",
        dict(message.headers() or []),  # type: ignore[arg-type]
    )


def place(message: Message) -> str:
    return f"{message.topic()} {message.partition()}@{message.offset()}"


def read_all(pipeline: Pipeline, topic: str) -> Iterator[Message]:
    """Committed records, from the first that is left to the end of each partition.

    Raises AssertionError if retention overtakes the reader.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": pipeline.stack.bootstrap_servers,
            "group.id": "oracle",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    try:
        partitions = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        while partitions:
            for message in consumer.consume(5000, 1.0):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    partitions.discard(message.partition())
                elif not error.retriable():
                    raise AssertionError(f"reading {topic}: {error}")
    finally:
        consumer.close()


def decoder(registry_url: str) -> Callable[[bytes], dict[str, Any]]:
    """Confluent's wire format, by the schema that a value names; waits for a registry that is away, as a sink would."""

    def asked(schema_id: int) -> bytes | None:
        try:
            with urllib.request.urlopen(f"{registry_url}/schemas/ids/{schema_id}", timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            return None

    @cache
    def schema(schema_id: int) -> Any:
        return fastavro.parse_schema(json.loads(json.loads(until(lambda: asked(schema_id)))["schema"]))

    def decode(value: bytes) -> dict[str, Any]:
        assert value[0] == 0
        event = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema(int.from_bytes(value[1:5], "big")), None)
        assert isinstance(event, dict)
        return event

    return decode


class Watch:
    """Follows events and dead letters as sinks do, to tell which have come out, and what no sink must ever see."""

    def __init__(self, pipeline: Pipeline, topics: Topics = TOPICS) -> None:
        self._topics = topics
        self._decode = decoder(pipeline.stack.registry_url)
        self.witness = Witness()
        self._more = threading.Condition()
        self._closing = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": pipeline.stack.bootstrap_servers,
                "group.id": "watch",
                "socket.timeout.ms": 10_000,  # it must notice silent connections sooner than those it watches
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        found = self._consumer.list_topics(timeout=30).topics
        self._consumer.assign(
            [TopicPartition(topic, one, 0) for topic in topics[1:] for one in found[topic].partitions]
        )
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def wait_for(self, event_ids: set[str], timeout_s: float) -> set[str]:
        """Those of the events that have not come out by then."""
        with self._more:
            self._more.wait_for(lambda: event_ids <= self.witness.places.keys(), timeout_s)
            return event_ids - self.witness.places.keys()

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._consumer.close()

    def _follow(self) -> None:
        while not self._closing:
            records = [_record(one) for one in self._consumer.consume(5000, 0.2) if one.error() is None]
            for record in records:
                try:
                    self._see(record)
                except Exception as error:
                    self.witness.faults.append(f"{at(record.place)} cannot be read: {error!r}")
            with self._more:
                self._more.notify_all()

    def _see(self, record: Record) -> None:
        if record.topic == self._topics.dead_letters:
            with self._more:
                self.witness.see_dead_letter(raw_of_dead_letter(record), record.place)
            return
        event = self._decode(record.value)
        person, number = event["properties"]["deliveryId"].split("/")
        with self._more:
            self.witness.see_event(event["messageId"], person, int(number), record.place)
