"""Transactions of commands that write: what a command wrote is there whole or not at all."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import TopicPartition

from runtime.errors import DependencyError, KafkaClientError, ProducerFencedError
from runtime.kafka.admin import FROM_END, KafkaAdmin
from runtime.kafka.transactional_producer import CALL_S, TransactionalProducer
from runtime.settings.model import Settings

TIMEOUT_MS = 60_000

VISIBLE_S = 15.0
"""How long to wait at most until readers see what was committed. Usually it takes milliseconds."""

ASK_EVERY_S = 0.05


class CommandTransactions(TransactionalProducer):
    """A TransactionalProducer whose errors end the command, with what to do about them."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        """Connect, and end what an earlier run left open. Raises DependencyError."""
        with _ending_the_command(settings, transactional_id):
            super().__init__(settings, transactional_id, TIMEOUT_MS)

    @contextmanager
    def transaction(self, offsets: Sequence[TopicPartition] = (), group_metadata: Any = None) -> Iterator[None]:
        """Commit what is produced within the block and `offsets` of a consumer group, or nothing if the block raises.

        `offsets` may be filled within the block; `group_metadata` is the group's. Raises DependencyError, and nothing
        of the block counts, with one exception: if the brokers stopped answering at the very commit, the next
        transaction with this id finds out whether it took place.
        """
        with _ending_the_command(self._settings, self._transactional_id):
            self.begin()
            try:
                yield
                self.commit(offsets, group_metadata)
            except BaseException:
                self.close(flush_s=CALL_S)
                raise

    def await_visible(self, *topics: str) -> None:
        """Return once read_committed readers of the topics see what was committed, or after `VISIBLE_S`.

        It raises nothing, since what was committed stands.
        """
        with suppress(DependencyError):
            self.becomes_visible(*topics)

    def becomes_visible(self, *topics: str) -> bool:
        """Wait until read_committed readers of the topics see all that was written; False after `VISIBLE_S`.

        Until then a command that follows may not see it: brokers answer a commit before they have marked it in each
        partition (KIP-98:
        https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging),
        and readers also wait for older transactions of others. Raises DependencyError.
        """
        admin, deadline = KafkaAdmin(self._settings), time.monotonic() + VISIBLE_S
        for topic in topics:
            partitions = dict.fromkeys(admin.metadata(topic).topics[topic].partitions, FROM_END)
            written = admin.offsets(topic, partitions, stable=False)
            while not _reach(admin.offsets(topic, partitions), written):
                if time.monotonic() > deadline:
                    return False
                time.sleep(ASK_EVERY_S)
        return True


def _reach(offsets: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(offsets[partition] >= end for partition, end in ends.items())


@contextmanager
def _ending_the_command(settings: Settings, transactional_id: str) -> Iterator[None]:
    """Raise KafkaClientError as DependencyError."""
    try:
        yield
    except ProducerFencedError:
        raise DependencyError(
            f"another command took over the transactions named {transactional_id}, or one of them took longer than "
            f"{TIMEOUT_MS // 1000} s; what was committed stands",
            "run this command again when no other one of its kind runs",
        ) from None
    except KafkaClientError as error:
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} did not take the transaction ({error.detail})",
            "what was committed stands; run the command again to go on from there",
        ) from None
