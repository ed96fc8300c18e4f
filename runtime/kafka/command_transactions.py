"""Transactions of commands that write: what a command wrote is there whole or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import TopicPartition

from runtime.errors import DependencyError, KafkaClientError, ProducerFencedError
from runtime.kafka.transactional_producer import ANY_PARTITION, CALL_S, Headers, TransactionalProducer
from runtime.settings.model import Settings

TIMEOUT_MS = 60_000


class CommandTransactions:
    """A TransactionalProducer whose errors end the command, with what to do about them."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        """Connect, and end what an earlier run left open. Raises DependencyError."""
        self._settings = settings
        self._transactional_id = transactional_id
        with self._ending_the_command():
            self._producer = TransactionalProducer(settings, transactional_id, TIMEOUT_MS)

    @contextmanager
    def transaction(self, offsets: Sequence[TopicPartition] = (), group_metadata: Any = None) -> Iterator[None]:
        """Commit what is produced within the block and `offsets` of a consumer group, or nothing if the block raises.

        `offsets` may be filled within the block; `group_metadata` is the group's. Raises DependencyError, and nothing
        of the block counts, with one exception: if the brokers stopped answering at the very commit, the next
        transaction with this id finds out whether it took place.
        """
        with self._ending_the_command():
            self._producer.begin()
            try:
                yield
                self._producer.commit(offsets, group_metadata)
            except BaseException:
                self._producer.close(flush_s=CALL_S)
                raise

    def produce(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = ANY_PARTITION,
    ) -> None:
        """Add a record to the transaction, waiting while the queue is full. Raises KafkaClientError."""
        self._producer.produce(topic, value, key, headers, partition)

    @contextmanager
    def _ending_the_command(self) -> Iterator[None]:
        """Raise KafkaClientError as DependencyError."""
        try:
            yield
        except ProducerFencedError:
            raise DependencyError(
                f"another command took over the transactions named {self._transactional_id}, or one of them took "
                f"longer than {TIMEOUT_MS // 1000} s; what was committed stands",
                "run this command again when no other one of its kind runs",
            ) from None
        except KafkaClientError as error:
            raise DependencyError(
                f"Kafka at {self._settings.kafka.bootstrap_servers} did not take the transaction ({error.detail})",
                "what was committed stands; run the command again to go on from there",
            ) from None
