"""What a new producer for each transaction would cost.

`python -m benchmarks.producer_per_transaction BOOTSTRAP` commits transactions in turn with one producer and with a new
one for each, in a topic that it creates and deletes, and prints the median time of each way and their ratio.
docs/reliability.md says why one might want it: librdkafka has no client side of KIP-890.
"""

import statistics
import sys
import time
import uuid

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS = 1_000
VALUE = bytes(700)
TRANSACTIONS = 100


def main() -> None:
    """Create the topic, measure, and delete it."""
    servers = sys.argv[1]
    admin, topic = AdminClient({"bootstrap.servers": servers}), f"benchmark-{uuid.uuid4()}"
    admin.create_topics([NewTopic(topic, 1)], operation_timeout=30)[topic].result(60)
    try:
        measure(servers, topic)
    finally:
        admin.delete_topics([topic], operation_timeout=30)[topic].result(60)


def measure(servers: str, topic: str) -> None:
    """Print the median of each way."""
    ids = {name: f"{name} {uuid.uuid4()}" for name in ("one producer", "a producer for each")}
    producers = {name: connected(servers, transactional_id) for name, transactional_id in ids.items()}
    took: dict[str, list[float]] = {name: [] for name in ids}
    for _ in range(TRANSACTIONS):
        for name, transactional_id in ids.items():  # in turn, so that both meet the same load
            begun = time.perf_counter()
            if name == "a producer for each":
                producers[name] = connected(servers, transactional_id)
            producers[name].begin_transaction()
            for _ in range(RECORDS):
                producers[name].produce(topic, VALUE)
            producers[name].commit_transaction()
            took[name].append(time.perf_counter() - begun)
    one, each = (statistics.median(seconds) for seconds in took.values())
    print(f"one producer {one * 1000:.1f} ms, a producer for each {each * 1000:.1f} ms a transaction of {RECORDS}")
    print(f"ratio {each / one:.2f}")


def connected(servers: str, transactional_id: str) -> Producer:
    """Return a new producer, ready for a transaction."""
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": transactional_id,
            "linger.ms": 5,
            "compression.type": "lz4",
        }
    )
    producer.init_transactions()
    return producer


if __name__ == "__main__":
    main()
