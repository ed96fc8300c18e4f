"""Read the offsets that a consumer group has committed."""

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import unreachable
from runtime.kafka.retry import TRY_S, retry_transient
from runtime.settings.model import Settings


def committed_offsets(
    settings: Settings, consumer: Consumer, topic: str, partitions: Iterable[int]
) -> dict[int, TopicPartition]:
    """Return the committed offset of each partition that has one, for the group of `consumer`, which need not join it.

    An admin client is not used: its process crashes in librdkafka 2.16 if the coordinator answers that it is not ready.
    Raises DependencyError.
    """
    asked = [TopicPartition(topic, partition) for partition in partitions]
    try:
        found = retry_transient(lambda: consumer.committed(asked, timeout=TRY_S))
    except KafkaException as error:
        raise unreachable(settings, error) from None
    return {at.partition: at for at in found if at.offset >= 0}


def processor_offsets(settings: Settings, partitions: Iterable[int]) -> dict[int, int]:
    """Return the offset that the processor's group has committed for each partition of the raw topic, if it has one.

    Raises DependencyError.
    """
    with make_consumer(settings, {"group.id": settings.processor.group_id}) as consumer:  # it never joins the group
        found = committed_offsets(settings, consumer, settings.topics.raw, partitions)
    return {partition: at.offset for partition, at in found.items()}
