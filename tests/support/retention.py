"""Brokers that look for what retention takes every second, and knowing that they have looked."""

import uuid
from collections.abc import Collection
from functools import partial

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.kafka import idempotent_producer
from tests.support.waiting import PATIENCE_S, until

CHECKED_EACH_SECOND = {"log.retention.check.interval.ms": "1000", "log.initial.task.delay.ms": "1000"}
"""Of brokers, which by default look every five minutes: https://kafka.apache.org/documentation/#brokerconfigs."""

IN_2020_MS = 1_577_836_800_000


def await_check(bootstrap_servers: str, retention_ms: int) -> None:
    """Return once each broker has looked at all of its topics, after this was called.

    Records dated in 2020 show that, in a topic with that retention and a partition on each broker: they are removed.
    The second time they are, a whole look lies between.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    brokers = len(admin.list_topics(timeout=PATIENCE_S).brokers)
    name = f"retention-control-{uuid.uuid4().hex[:8]}"
    control = NewTopic(name, brokers, 1, config={"retention.ms": str(retention_ms)})
    admin.create_topics([control], operation_timeout=30)[name].result(PATIENCE_S)
    producer = idempotent_producer(bootstrap_servers)
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": name})
    try:
        for removed in (1, 2):
            for partition in range(brokers):
                producer.produce(name, b"control", partition=partition, timestamp=IN_2020_MS)
            assert producer.flush(PATIENCE_S) == 0
            until(partial(_begins_at, consumer, name, range(brokers), removed))
    finally:
        consumer.close()
        admin.delete_topics([name], operation_timeout=30)[name].result(PATIENCE_S)


def _begins_at(consumer: Consumer, topic: str, partitions: Collection[int], offset: int) -> bool:
    starts = {consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=PATIENCE_S)[0] for one in partitions}
    return starts == {offset}
