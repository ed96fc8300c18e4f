"""A loop with confluent-kafka: raw topic in, events as JSON out, a transaction for each batch."""

import json
import os

from confluent_kafka import Consumer, Producer

from sternpost import DeadLetter, Mapper, Origin

RAW = os.environ.get("RAW_TOPIC", "customerio.raw")
JSON_EVENTS = os.environ.get("JSON_TOPIC", "events.json")
BROKERS = os.environ.get("BOOTSTRAP_SERVERS", "kafka:9092")

mapper = Mapper("corrected")
consumer = Consumer(
    {
        "bootstrap.servers": BROKERS,
        "group.id": "events-as-json",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
producer = Producer({"bootstrap.servers": BROKERS, "transactional.id": "events-as-json"})
producer.init_transactions()
consumer.subscribe([RAW])

seen: set[str] = set()  # Customer.io repeats webhooks: keep this somewhere that outlives the program
while True:
    messages = consumer.consume(500, timeout=1)
    if not messages:
        continue
    producer.begin_transaction()
    for message in messages:
        if message.error():
            raise SystemExit(message.error().str())
        outcome = mapper.map(
            message.value() or b"",
            received_at_ms=message.timestamp()[1],
            headers=message.headers() or (),
            origin=Origin(message.topic(), message.partition(), message.offset()),
        )
        if isinstance(outcome, DeadLetter):
            print(f"{message.partition()}:{message.offset()} {outcome.code}: {outcome.message}", flush=True)
            continue
        event = outcome.as_json()
        if event["messageId"] not in seen:
            seen.add(event["messageId"])
            producer.produce(JSON_EVENTS, json.dumps(event), outcome.key)
    producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata())
    producer.commit_transaction()
