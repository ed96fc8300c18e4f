"""Transactions of the command line's own: what a command wrote is there whole or not at all, Ctrl-C or not."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from runtime.errors import DependencyError
from runtime.kafka.clients import make_producer
from runtime.settings.model import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, TopicPartition

TIMEOUT_S = 60


class StopRequest:
    """Whether someone asked for an end."""

    def __init__(self) -> None:
        self.now = False

    def __bool__(self) -> bool:
        return self.now


@contextmanager
def graceful_interrupt() -> Iterator[StopRequest]:
    """The first Ctrl-C or SIGTERM asks for an end after the transaction in hand; the second ends at once."""
    interrupted = StopRequest()

    def ask(number: int, _: FrameType | None) -> None:
        if interrupted.now:
            raise KeyboardInterrupt
        interrupted.now = True
        # Not through Python's buffers, which what is interrupted may be in the middle of writing to.
        os.write(2, b"\nending after what is in hand; once more ends it at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TransactionalProducer:
    """One after the other, by one producer. A second one with the same name takes its place, and this one fails."""

    def __init__(self, settings: Settings, name: str) -> None:
        """Ends what an earlier one of this name left open. `name` is the transactional id.

        Raises DependencyError.
        """
        self.name = name
        self._settings = settings
        self._refused: KafkaError | None = None
        self._open()

    def _open(self) -> None:
        from confluent_kafka import KafkaException

        self._late = False
        self._producer = make_producer(
            self._settings,
            {"transactional.id": self.name, "transaction.timeout.ms": TIMEOUT_S * 1000},
            {"linger.ms": 20, "partitioner": "murmur2_random"},
        )
        try:
            self._producer.init_transactions(TIMEOUT_S)
        except KafkaException as error:
            raise self._failure(error) from None

    @contextmanager
    def one(self, offsets: Sequence["TopicPartition"] = (), group: Any = None) -> Iterator["TransactionalProducer"]:
        """Commits what is produced within the block, and the offsets (of the consumer group whose metadata `group`
        is); or, where the block raises, nothing.

        `offsets` may be filled within the block. Raises DependencyError, and nothing of the block counts; except that
        where the brokers stopped answering at the very commit, the next transaction of this name finds out.
        """
        from confluent_kafka import KafkaException

        if self._late:
            self._open()  # with a new epoch: a request to end that transaction may yet arrive, and would end this one
        self._refused = None
        try:
            self._producer.begin_transaction()
            try:
                yield self
                if offsets:
                    self._again(lambda: self._producer.send_offsets_to_transaction(list(offsets), group, TIMEOUT_S))
                self._again(lambda: self._producer.commit_transaction(TIMEOUT_S))
            except BaseException:
                self._abort()
                raise
        except KafkaException as error:
            raise self._failure(error) from None

    def produce(self, topic: str, **record: Any) -> None:
        """Adds a record: `key`, `value`, `headers`, `partition`, `timestamp`."""
        while True:
            try:
                self._producer.produce(topic, on_delivery=self._delivered, **record)
            except BufferError:
                self._producer.poll(0.5)
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: "KafkaError | None", _: object) -> None:
        self._refused = self._refused or error

    def _again(self, call: Any) -> None:
        """The same call again for as long as that is what the client says may help."""
        from confluent_kafka import KafkaException

        for attempts_left in reversed(range(5)):
            try:
                call()
            except KafkaException as error:
                if attempts_left and error.args[0].retriable():
                    self._late = True
                    continue
                raise
            return

    def _abort(self) -> None:
        from confluent_kafka import KafkaException

        with suppress(KafkaException):  # fenced, or no broker: then the brokers abort it themselves
            self._producer.flush(5)  # an abort before the brokers know of the transaction can be fatal
            self._producer.abort_transaction(TIMEOUT_S)

    def _failure(self, error: BaseException) -> DependencyError:
        from confluent_kafka import KafkaError

        reason = error.args[0]
        if reason.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            return DependencyError(
                f"another command took over the transactions named {self.name}; what was committed stands, the rest "
                "was left to it. Run this one again when it has ended"
            )
        if self._refused is not None and not self._refused.name().startswith("_PURGE"):
            reason = self._refused  # of one record, and so nearer to the cause
        denied = (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        )
        mend = (
            "`sternpost acls` prints the rights that each role needs"
            if reason.code() in denied
            else "what was committed stands; run the command again to go on from there"
        )
        return DependencyError(
            f"Kafka at {self._settings.kafka.bootstrap_servers} did not take the transaction ({reason.str()}); {mend}"
        )
