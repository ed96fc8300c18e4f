"""Where a replay is: kept with the brokers, as the offsets of a group of its own, and moved in its transactions."""

import hashlib
from typing import Any

from runtime.errors import DependencyError
from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import unreachable
from runtime.kafka.range_consumer import OffsetRange
from runtime.kafka.retry import TRY_S, retry_transient
from runtime.settings.model import Settings


def name_of(settings: Settings, target: str, *what: str) -> str:
    """The same for the same range (as it was written), filters, profile and target, so that the same command goes on.

    It is the group's name and the transactional id, and begins with the processor's group and `.replay.`.
    """
    text = "\n".join([settings.topics.raw, target, settings.processor.profile, *what])
    return f"{settings.processor.group_id}.replay.{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class Progress:
    """Of one replay. The end of each span is in its offset's metadata, since `2h` ago is another moment by then."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._settings = settings
        self._topic = settings.topics.raw
        self._ends: dict[int, int] = {}
        # It never joins: its name and a generation of none are what offsets are committed by.
        self._consumer = make_consumer(settings, {"group.id": name})

    def close(self) -> None:
        self._consumer.close()

    def find(self, partitions: list[int]) -> list[OffsetRange] | None:
        """What is left to do, spans without anything left among it; None where this replay was never begun.

        Raises DependencyError.
        """
        from confluent_kafka import KafkaException, TopicPartition

        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            found = retry_transient(lambda: self._consumer.committed(wanted, timeout=TRY_S))
        except KafkaException as error:
            raise unreachable(self._settings, error) from None
        spans = [OffsetRange(at.partition, at.offset, int(at.metadata or -1)) for at in found if at.offset >= 0]
        self._ends = {span.partition: span.end for span in spans}
        return spans or None

    def begin(self, spans: list[OffsetRange]) -> None:
        """Notes the spans down, and what `find` found of an earlier run as done. Raises DependencyError."""
        from confluent_kafka import KafkaException

        positions = self._ends | {span.partition: span.start for span in spans}
        self._ends |= {span.partition: span.end for span in spans}
        try:
            self._consumer.commit(offsets=self.offsets(positions), asynchronous=False)
        except KafkaException as error:
            raise DependencyError(
                f"the progress of the replay cannot be kept in the group {self.name}: {error.args[0].str()}; "
                "`sternpost acls` prints the rights that it needs"
            ) from None

    def offsets(self, positions: dict[int, int]) -> list[Any]:
        """For a transaction: the next offset to read, by partition."""
        from confluent_kafka import TopicPartition

        return [
            TopicPartition(self._topic, partition, offset, metadata=str(self._ends[partition]))
            for partition, offset in positions.items()
        ]

    def ended(self) -> dict[int, int]:
        """The positions at which nothing is left."""
        return dict(self._ends)

    @property
    def group(self) -> Any:
        """What a transaction takes."""
        return self._consumer.consumer_group_metadata()
