"""The floor: a program that only consumes, produces and commits, with the client configuration of the processor.

No processor written in Python on this client can use less CPU. `python -m benchmarks.floor` reads BOOTSTRAP, RAW, OUT
and GROUP from its environment, like any program of `--peer`. It produces the bodies unchanged.
"""

import os
import signal

from confluent_kafka import Consumer, Producer

BATCH = 10_000


def main() -> None:
    """Until SIGTERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    servers, group, out = os.environ["BOOTSTRAP"], os.environ["GROUP"], os.environ["OUT"]
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": group,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "batch.num.messages": BATCH,
            "batch.size": 1_000_000,
            "compression.type": "lz4",
            "delivery.report.only.error": True,
        }
    )
    producer.init_transactions()
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
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
            produce(out, message.value(), message.key())
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
        producer.commit_transaction()
    consumer.close()


if __name__ == "__main__":
    main()
