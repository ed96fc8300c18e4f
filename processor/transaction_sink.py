"""The way out, on Kafka: see `transport.Sink`.

librdkafka has no client side of KIP-890, so a commit or abort that was held up on our side may still arrive at the
broker late, and end the *next* transaction. Whenever one was, it is first resolved, and then the producer is replaced:
the new one has the same transactional id and a higher epoch, which fences whatever is still on its way.

An abort is made by replacing the producer, too: that its transactions begin says the brokers have ended the one
before, whatever state it was in. So nothing of it (reports of purged records, sequence numbers with gaps, requests on
their way) can reach the next one.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.interfaces import ClientUnusableError, ProducerFencedError, TransactionAbortedError
from processor.pipeline.dedup_key import received_at_ms
from processor.pipeline.records import DeadLetter, Event, Headers, Outcome, RawRecord, headers_of
from runtime import metrics
from runtime.errors import DependencyError
from runtime.kafka.clients import make_producer
from runtime.settings.model import Settings
from schemas import record_headers

log = structlog.get_logger()

CALL_S = 5.0
"""One call to librdkafka; a time-out of it is followed by the same call again."""

OVERDUE_S = 2 * CALL_S
"""A call that takes longer may never return: librdkafka does not look at the time-out of `send_offsets_to_transaction`
while the group's coordinator is away (its issues 5456 and 5511)."""

UNDISTURBED_S = 1.0
"""A commit that took longer counts as held up: a request of it may have been sent twice."""

RETRY_S = 0.1

RECORD_FAULTS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
    }
)
"""What a broker says of a record that it will never take, however often it is sent."""

_REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)

_FENCES = frozenset(
    {KafkaError._FATAL, KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
"""What is said to a producer whose place was taken; _FATAL by calls that come after the one that was told."""

_ANY_SIZE = 1_000_000_000
"""librdkafka's highest. Events are held to their topic's limit by the core; beyond that the brokers know best."""


DEFAULTS: Mapping[str, object] = {
    "partitioner": "murmur2_random",
    "linger.ms": 5,
    "batch.num.messages": 10_000,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 262_144,
    "compression.type": "lz4",
}
"""What `kafka.properties` may set otherwise."""


def producer_properties(settings: Settings, transactional_id: str) -> dict[str, object]:
    """What the transactional producer stands on."""
    timeout_ms = settings.processor.transaction_timeout_ms
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
        "message.timeout.ms": timeout_ms,
        "message.max.bytes": _ANY_SIZE,
        "delivery.report.only.error": True,
    }


class KafkaTransactionSink:
    def __init__(self, settings: Settings, transactional_id: str) -> None:
        """Connects, and ends what an earlier producer of this id left unfinished.

        Raises ClientUnusableError and DependencyError.
        """
        self._settings = settings
        self._transactional_id = transactional_id
        self._topic, self._dead_letters = settings.topics.events, settings.topics.dead_letters
        self._patience_s = 2 * settings.processor.transaction_timeout_ms / 1000
        self._seconds = metrics.PROCESSOR_TRANSACTION_SECONDS.labels()
        self._open = False
        """Whether there is a transaction that neither was committed nor ended otherwise."""
        self._disturbed = False
        """Whether a request may still be on its way that must not reach the next transaction."""
        self._refusals: list[KafkaError] = []
        """Of records of this transaction."""
        self._called: float | None = None
        """When the call that is under way was made."""
        self._producer = self._connected()

    def write(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        try:
            if not self._open:
                if self._disturbed:
                    log.warning("replacing the producer after a commit that was held up")
                    self._producer = self._connected()
                self._producer.begin_transaction()
                self._open = True
            produce, topic = self._producer.produce, self._topic
            for record, outcome in zip(records, outcomes, strict=True):
                if type(outcome) is Event:
                    try:
                        if outcome.traceparent is None:
                            produce(topic, outcome.value, outcome.key)
                        else:
                            produce(topic, outcome.value, outcome.key, headers=headers_of(outcome))  # type: ignore[arg-type]
                    except BufferError:
                        self._produce(topic, outcome.value, outcome.key, headers_of(outcome))
                elif type(outcome) is DeadLetter:
                    self._produce(self._dead_letters, record.value, record.key, dead_letter_headers(record, outcome))
        except KafkaException as error:
            raise self._failure("write", error) from error

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        begun = time.monotonic()
        raw = self._settings.topics.raw
        positions = [TopicPartition(raw, partition, offset) for partition, offset in offsets.items()]
        producer = self._producer
        send = producer.send_offsets_to_transaction
        self._until_done("send offsets", lambda: send(positions, group_metadata, CALL_S))
        self._until_done("commit", lambda: producer.commit_transaction(CALL_S))
        self._open = False
        with contextlib.suppress(KafkaException):
            producer.poll(0)  # has `_disturbance` told
        took = time.monotonic() - begun
        self._disturbed = self._disturbed or took > UNDISTURBED_S
        self._seconds.observe(took)

    @property
    def overdue(self) -> bool:
        called = self._called
        return called is not None and time.monotonic() - called > OVERDUE_S

    def abort(self) -> None:
        if self._open or self._disturbed:
            self._producer = self._connected()

    def close(self) -> None:
        if self.overdue:  # the call keeps the producer to itself; the next one of its name fences it
            log.error("transaction left to its time-out", error="a call of the client does not return")
            return
        try:
            if self._open:
                self._until_done("abort", lambda: self._producer.abort_transaction(CALL_S), patience_s=CALL_S)
        except (TransactionAbortedError, ClientUnusableError, DependencyError) as error:
            log.warning("transaction left to its time-out", error=str(error))
        self._open = False

    def _connected(self) -> Producer:
        """Begins anew, with a higher epoch. Once this returns, the transaction before has ended."""
        producer = make_producer(
            self._settings,
            {**producer_properties(self._settings, self._transactional_id), "on_delivery": self._delivered},
            DEFAULTS,
            self._disturbance,
        )

        def begin() -> None:
            try:
                producer.init_transactions(CALL_S)
            finally:
                with contextlib.suppress(KafkaException):
                    producer.poll(0)  # has the client tell why brokers cannot be reached

        self._until_done("init", begin)
        producer.poll(0)
        # What was disturbed before, and by connecting, is behind the new epoch.
        self._open = self._disturbed = False
        self._refusals = []
        return producer

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, of_record: Headers) -> None:
        """As long as the queue is full, waits for it to empty. The record is dated now, by librdkafka."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                self._producer.produce(topic, value, key, headers=of_record)  # type: ignore[arg-type]
            except BufferError:
                if time.monotonic() > deadline:
                    raise TransactionAbortedError("_QUEUE_FULL") from None
                self._producer.poll(0.1)
            else:
                return

    def _until_done(self, what: str, call: Callable[[], object], patience_s: float | None = None) -> None:
        """Calls again while the error says that this may help.

        Raises TransactionAbortedError, ClientUnusableError and DependencyError.
        """
        deadline = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        while True:
            self._called = time.monotonic()
            try:
                call()
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise self._failure(what, error) from error
                self._disturbed = True
                time.sleep(RETRY_S)
            else:
                return
            finally:
                self._called = None

    def _failure(self, what: str, error: KafkaException) -> Exception:
        """What the error means: the transaction is to be aborted, the producer is broken, or we may not do this."""
        reason: KafkaError = error.args[0]
        if what != "init":
            with contextlib.suppress(KafkaException):  # a producer that is broken raises here, too
                self._producer.poll(0)  # has `_delivered` told
        for refusal in (reason, *self._refusals):
            if refusal.code() in _REFUSED:
                return DependencyError(
                    f"the brokers do not let us write to {self._topic} and {self._dead_letters} in transactions of "
                    f"{self._transactional_id}: {refusal.str()}; grant it, or check kafka.properties"
                )
        fault = next((one.name() for one in (reason, *self._refusals) if one.code() in RECORD_FAULTS), None)
        cause = self._refusals[0].name() if self._refusals else reason.name()
        if what != "init" and not reason.fatal() and (fault or reason.retriable() or reason.txn_requires_abort()):
            return TransactionAbortedError(cause, fault)
        broken = ProducerFencedError if reason.code() in _FENCES else ClientUnusableError
        return broken(f"{what}: {cause}")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._refusals.append(error)

    def _disturbance(self, _: KafkaError) -> None:
        """A connection failed: a request that was on it may have arrived, and be sent again."""
        self._disturbed = True


def dead_letter_headers(record: RawRecord, dead: DeadLetter) -> Headers:
    """The headers of the raw record, when it was received, and why there is no event of it."""
    ours = {
        record_headers.RECEIVED_AT: str(received_at_ms(record)),  # the letter's own timestamp says when it failed
        record_headers.ERROR_CODE: dead.code.value,
        record_headers.ERROR_MESSAGE: dead.message,
        record_headers.ERROR_FIELD: dead.field,
        record_headers.ERROR_STAGE: dead.stage.value,
        record_headers.RAW_TOPIC: record.topic,
        record_headers.RAW_PARTITION: str(record.partition),
        record_headers.RAW_OFFSET: str(record.offset),
    }
    kept = [(name, value) for name, value in record.headers if name not in ours]
    return [*kept, *((name, text.encode()) for name, text in ours.items() if text is not None)]
