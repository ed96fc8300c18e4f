"""Read the events into SQLite with confluent-kafka, each once, whatever happens in between."""

import json
import os
import signal
import sqlite3
import threading
from datetime import datetime

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = os.environ.get("EVENTS_TOPIC", "rudderstack.events")
BATCH = int(os.environ.get("BATCH", "500"))

database = sqlite3.connect(os.environ.get("DATABASE", "events.sqlite"))
database.executescript("""
    CREATE TABLE IF NOT EXISTS events (message_id TEXT PRIMARY KEY, user_id TEXT, event TEXT, occurred TEXT, json TEXT);
    CREATE TABLE IF NOT EXISTS offsets (partition INTEGER PRIMARY KEY, next INTEGER);
""")


def start_at_stored_offsets(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """Start at the database's offsets, which are written in the events' transactions: Kafka's own are not used."""
    stored = dict(database.execute("SELECT partition, next FROM offsets"))
    for partition in partitions:
        if partition.partition in stored:
            partition.offset = stored[partition.partition]
    consumer.assign(partitions)
    print("reading", *partitions, flush=True)


def iso(value: datetime) -> str:
    """Return a time as text. Times are aware datetimes in UTC, with milliseconds."""
    return value.isoformat(timespec="milliseconds")


registry = SchemaRegistryClient({"url": os.environ.get("REGISTRY_URL", "http://registry:8081")})
deserialize = AvroDeserializer(registry)
context = SerializationContext(TOPIC, MessageField.VALUE)
consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("BOOTSTRAP_SERVERS", "kafka:9092"),
        "group.id": "events-to-sqlite",
        "isolation.level": "read_committed",  # librdkafka's default; Java's is read_uncommitted
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10_000,  # how long a crashed reader keeps its partitions
    }
)
consumer.subscribe([TOPIC], on_assign=start_at_stored_offsets)

stop = threading.Event()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: stop.set())
try:
    while not stop.is_set():
        messages = consumer.consume(BATCH, timeout=1)
        with database:  # one transaction: all of the batch and its offsets, or nothing
            for message in messages:
                if message.error():
                    raise SystemExit(message.error().str())
                event = deserialize(message.value(), context)
                database.execute(
                    "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
                    (
                        event["messageId"],
                        event["userId"] or event["anonymousId"],
                        event["event"],
                        iso(event["timestamp"]),
                        json.dumps(event, default=iso),
                    ),
                )
                database.execute(
                    "INSERT OR REPLACE INTO offsets VALUES (?, ?)", (message.partition(), message.offset() + 1)
                )
finally:
    consumer.close()
