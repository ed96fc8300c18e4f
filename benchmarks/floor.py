"""The floor: consume, produce and commit, and do nothing else, with the processor's own configuration of the clients.

No processor written in Python on this client can take less. `python -m benchmarks.floor` reads its topics from the
environment, as any program that `--peer` names: BOOTSTRAP, RAW, OUT, GROUP, REGISTRY. All events are the same one, of
the schema that the registry has for $OUT-value, so that they read back.
"""

import io
import json
import os
import signal
import urllib.request
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer
from fastavro.utils import generate_one

BATCH = 10_000


def event() -> bytes:
    """Some event, in Confluent's wire format."""
    with urllib.request.urlopen(
        f"{os.environ['REGISTRY']}/subjects/{os.environ['OUT']}-value/versions/latest"
    ) as found:
        registered = json.load(found)
    schema: Any = fastavro.parse_schema(json.loads(registered["schema"]))
    out = io.BytesIO(b"\0" + int(registered["id"]).to_bytes(4, "big"))
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, schema, generate_one(schema))
    return out.getvalue()


def main() -> None:
    """Until SIGTERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    servers, out, value = os.environ["BOOTSTRAP"], os.environ["OUT"], event()
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": os.environ["GROUP"],
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "batch.num.messages": 10_000,
            "batch.size": 1_000_000,
            "compression.type": "lz4",
            "delivery.report.only.error": True,
        }
    )
    producer.init_transactions()
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": os.environ["GROUP"],
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 2 * BATCH,
        }
    )
    consumer.subscribe([os.environ["RAW"]])
    while running:
        messages = consumer.consume(BATCH, 0.1)
        if not messages:
            continue
        producer.begin_transaction()
        produce = producer.produce
        for message in messages:
            produce(out, value, message.key())
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()
    consumer.close()


if __name__ == "__main__":
    main()
