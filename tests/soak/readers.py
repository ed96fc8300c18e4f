"""Sinks that follow the topics while things break, and the same topics read once more at the end."""

import re
import threading
from collections.abc import Callable
from typing import Self

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.chaos.oracle import decoder, read_all
from tests.chaos.pipeline import Pipeline
from tests.chaos.records import EVENTS
from tests.soak.events import body, subject
from tests.soak.ledger import DeadLetters, Events

PLACE = re.compile(rb'"delivery_id": "(\d+)/(\d+)"')


class Reader:
    """Reads a topic's committed records from the first while a `with` block lasts."""

    def __init__(self, pipeline: Pipeline, topic: str, see: Callable[[Message], None]) -> None:
        self._see = see
        self._closing = False
        self.failure: Exception | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": pipeline.stack.bootstrap_servers,
                "group.id": f"soak-{topic}",
                "isolation.level": "read_committed",
                "fetch.min.bytes": 65536,
                "log_level": 2,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._thread.join()
        self._consumer.close()

    def _follow(self) -> None:
        try:
            while not self._closing:
                for message in self._consumer.consume(5000, 0.2):
                    error = message.error()
                    # Others pass; this one says that retention took what was not read yet.
                    assert error is None or error.code() != KafkaError._AUTO_OFFSET_RESET, str(error)
                    if error is None:
                        self._see(message)
        except Exception as failure:
            self.failure = failure


def events_reader(pipeline: Pipeline, ledger: Events) -> Callable[[Message], None]:
    """Return what notes an event in the ledger."""
    decode = decoder(pipeline.stack.registry_url)

    def see(message: Message) -> None:
        event = decode(message.value() or b"")
        person, number = map(int, event["properties"]["deliveryId"].split("/"))
        name = f"person-{person}"
        found = event["messageId"], event["userId"], message.key(), event["properties"]["emailSubject"]
        whole = found == (f"{person}-{number}", name, name.encode(), subject(person, number))
        ledger.see(person, number, message.partition() or 0, whole=whole)

    return see


def letters_reader(ledger: DeadLetters) -> Callable[[Message], None]:
    """Return what notes a dead letter in the ledger."""

    def see(message: Message) -> None:
        value = message.value() or b""
        place = PLACE.search(value)
        if place is None:
            ledger.faults.add(f"dead letter {message.partition()}@{message.offset()} is nothing that was sent")
            return
        person, number = map(int, place.groups())
        ledger.see(person, number, whole=value == body(person, number))

    return see


def read_again(pipeline: Pipeline) -> Events:
    """Read all events that retention has left; what a reader saw must not be gone.

    From here on the topic keeps everything: retention would overtake the reader.
    """
    topic = ConfigResource(ConfigResource.Type.TOPIC, EVENTS)
    topic.add_incremental_config(ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET))
    admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
    admin.incremental_alter_configs([topic])[topic].result(60)
    ledger = Events(from_the_first=False)
    see = events_reader(pipeline, ledger)
    for message in read_all(pipeline, EVENTS):
        see(message)
    return ledger
