"""The offsets that a consumer group has committed, read and set without joining the group."""

from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaException, TopicPartition

from runtime.kafka.admin import TRY_S, retry_transient
from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import unreachable
from runtime.settings.model import GroupProtocol, Settings

__all__ = ["GroupOffsets", "TopicPartition"]


class GroupOffsets:
    """A consumer that never subscribes: offsets can be read and committed for a group without being its member.

    An admin client is not used: its process crashes in librdkafka 2.16 if the coordinator answers that it is not ready.
    """

    def __init__(self, settings: Settings, group_id: str) -> None:
        """Make the client, without connecting. Raises ConfigurationError."""
        self._settings = settings
        self._consumer = make_consumer(settings, {"group.id": group_id})

    def __enter__(self) -> "GroupOffsets":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()

    def committed(self, topic: str, partitions: Iterable[int]) -> dict[int, TopicPartition]:
        """Return the committed offset, with its metadata, of each partition that has one. Raises KafkaRequestError."""
        asked = [TopicPartition(topic, partition) for partition in partitions]
        try:
            found = retry_transient(lambda: self._consumer.committed(asked, timeout=TRY_S))
        except KafkaException as error:
            raise unreachable(self._settings, error) from None
        return {at.partition: at for at in found if at.offset >= 0}

    def commit(self, offsets: Sequence[TopicPartition]) -> None:
        """Commit offsets; the group must not have members. Raises KafkaRequestError."""
        try:
            self._consumer.commit(offsets=list(offsets), asynchronous=False)
        except KafkaException as error:
            raise unreachable(self._settings, error) from None

    @property
    def metadata(self) -> object:
        """The group's metadata, which a transaction that commits its offsets takes."""
        return self._consumer.consumer_group_metadata()


_SESSION_TIMEOUT = {
    GroupProtocol.CLASSIC: "processor.session_timeout_ms (45 s by default)",
    GroupProtocol.CONSUMER: "the brokers' group.consumer.session.timeout.ms (45 s by default)",
}


def how_to_reset(to: str, protocol: GroupProtocol) -> str:
    """Return how to set the processor's offsets with Kafka's own tool; `to` is its option (`--to-offset 42`).

    The tool refuses as long as the group has members, and a static member counts until its session times out, even if
    it has stopped:
    https://cwiki.apache.org/confluence/display/KAFKA/KIP-345%3A+Introduce+static+membership+protocol+to+reduce+consumer+rebalances
    """
    return (
        f"stop all processors, wait for longer than {_SESSION_TIMEOUT[protocol]}, since their static memberships keep "
        f"the group active until then, and run kafka-consumer-groups --reset-offsets {to}"
    )
