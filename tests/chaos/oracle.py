"""What came out, read by a reader that knows nothing of ours but the topics' names and the registry's address."""

import io
import json
import threading
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import fastavro
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from tests.chaos.load import Sent
from tests.chaos.pipeline import Pipeline
from tests.support.retention import await_check
from tests.support.waiting import until

EVENTS_RETENTION_MS = 7 * 86_400_000
EVENTS, DEAD_LETTERS = "rudderstack.events", "customerio.dead-letters"


class Verdict(NamedTuple):
    lost: list[str]
    doubled: list[str]
    unknown: list[str]
    out_of_order: list[str]
    altered: list[str]
    vanished: list[str]
    """A reader saw them while things broke, and they are not there any more."""
    seen_wrong: list[str]
    """What a reader saw while things broke, and must never see."""

    @property
    def good(self) -> bool:
        return not any(self)

    def __str__(self) -> str:
        return ", ".join(f"{len(ids)} {what} {ids[:5]}" for what, ids in self._asdict().items() if ids) or "all is well"


class Witness:
    """What a reader may see while things break: each event once, and those of a person in order."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[int, int]] = {}
        """Partition and offset of each event."""
        self.faults: list[str] = []
        self._last: dict[str, tuple[int, int]] = {}

    def see(self, event_id: str, person: str, number: int, partition: int, offset: int) -> None:
        """Note an event, the `number`th of a person. The reader itself may come to one place twice."""
        before = self.places.setdefault(event_id, (partition, offset))
        if before != (partition, offset):
            self.faults.append(f"{event_id} at {before} and at {(partition, offset)}")
            return
        last_partition, last_number = self._last.get(person, (partition, -1))
        if last_partition != partition or last_number > number:
            self.faults.append(f"{event_id} at {(partition, offset)} after number {last_number} in {last_partition}")
        self._last[person] = (partition, number)

    def vanished(self, there: set[tuple[int, int]]) -> list[str]:
        """Return the events that were seen and are at none of the places."""
        return [f"{event_id} from {place}" for event_id, place in self.places.items() if place not in there]


def judge(pipeline: Pipeline, acknowledged: list[Sent], witness: Witness) -> Verdict:
    """Reads both topics from their first record to their last, after the brokers removed what is too old, and compares.

    The events occurred in 2020. `witness` read the events while things broke.
    """
    await_check(pipeline.stack.bootstrap_servers, EVENTS_RETENTION_MS)
    sent = {one.event_id: one for one in acknowledged}
    by_body = {one.body: one for one in acknowledged if one.broken}
    decode = decoder(pipeline.stack.registry_url)
    seen: Counter[str] = Counter()
    origins: defaultdict[str, list[str]] = defaultdict(list)
    """Where each is, and the raw record it was made of: two of one were written twice, of two not told apart."""
    unknown, altered, out_of_order = [], [], []
    last: dict[str, tuple[int, int]] = {}
    there: set[tuple[int, int]] = set()
    for message in read_all(pipeline, EVENTS):
        there.add((message.partition(), message.offset()))  # type: ignore[arg-type]
        event = decode(message.value() or b"")
        event_id = event["messageId"]
        seen[event_id] += 1
        origins[event_id].append(f"{place(message)} of raw {event['context']['origin']}")
        original = sent.get(event_id)
        if original is None:
            unknown.append(event_id)
            continue
        data = json.loads(original.body)["data"]
        properties = event["properties"]
        if (properties["emailSubject"], properties["deliveryId"], event["userId"], message.key()) != (
            data["subject"],
            data["delivery_id"],
            original.person,
            original.person.encode(),
        ) or event["context"]["sourceId"] != "chaos":
            altered.append(event_id)
        partition: int = message.partition()  # type: ignore[assignment]
        before = last.get(original.person, (partition, -1))
        if before[0] != partition or before[1] >= original.number:
            out_of_order.append(event_id)
        last[original.person] = (partition, original.number)
    for message in read_all(pipeline, DEAD_LETTERS):
        original = by_body.get(message.value() or b"")
        if original is None:
            unknown.append(f"dead letter {message.partition()}@{message.offset()}")
            continue
        seen[original.event_id] += 1
        found: dict[str, Any] = dict(message.headers() or [])
        origins[original.event_id].append(f"{place(message)} of raw {found['raw_partition']}@{found['raw_offset']}")
        if found.get("error_code") != b"malformed_json" or found.get("source") != b"chaos":
            altered.append(original.event_id)
    lost = [one for one in sent if not seen[one]]
    doubled = [f"{one} from {', '.join(origins[one])}" for one, times in seen.items() if times > 1]
    vanished = witness.vanished(there)
    return Verdict(lost, doubled, unknown, out_of_order, altered, vanished, witness.faults)


def place(message: Message) -> str:
    return f"{message.topic()} {message.partition()}@{message.offset()}"


def read_all(pipeline: Pipeline, topic: str) -> Iterator[Message]:
    """Committed records, up to the end of each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": pipeline.stack.bootstrap_servers,
            "group.id": "oracle",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
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
        return fastavro.parse_schema(json.loads(json.loads(until(lambda: asked(schema_id), 60))["schema"]))

    def decode(value: bytes) -> dict[str, Any]:
        assert value[0] == 0
        event = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema(int.from_bytes(value[1:5], "big")), None)
        assert isinstance(event, dict)
        return event

    return decode


class Watch:
    """Follows the events as a sink does, to tell which have come out, and what no sink must ever see."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._decode = decoder(pipeline.stack.registry_url)
        self.witness = Witness()
        self._more = threading.Condition()
        self._closing = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": pipeline.stack.bootstrap_servers,
                "group.id": "watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        partitions = self._consumer.list_topics(EVENTS, timeout=30).topics[EVENTS].partitions
        self._consumer.assign([TopicPartition(EVENTS, partition, 0) for partition in partitions])
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
            messages = [message for message in self._consumer.consume(5000, 0.2) if message.error() is None]
            for message in messages:
                event = self._decode(message.value() or b"")
                person, number = event["properties"]["deliveryId"].split("/")
                partition, offset = message.partition(), message.offset()
                with self._more:
                    self.witness.see(event["messageId"], person, int(number), partition, offset)  # type: ignore[arg-type]
            with self._more:
                self._more.notify_all()
