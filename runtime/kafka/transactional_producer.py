"""The one transactional producer, of the processor and of commands that write.

librdkafka does not implement KIP-890's client side, so a commit or abort that was delayed on our side may reach the
broker late and end the *next* transaction
(https://cwiki.apache.org/confluence/display/KAFKA/KIP-890%3A+Transactions+Server-Side+Defense). Whenever a request may
have been delayed, its outcome is resolved first and then the producer is replaced: the new one has the same
transactional id and a higher epoch, which fences every request that is still on its way.

An abort replaces the producer, too: once `init_transactions` returns, the brokers have ended the transaction before,
whatever state it was in. Nothing of it (reports of purged records, sequence numbers with gaps, requests on their way)
can reach the next transaction.

Call the client outside `except` and `finally`. An error that it raises while another one is handled refers to that one
(`__context__`), and with Python 3.11 never lets it go: KafkaError is an exception whose type frees only its own text
(https://github.com/confluentinc/confluent-kafka-python/blob/master/src/confluent_kafka/src/confluent_kafka.c). The
frames of that other error then keep the clients that they used, with their threads and connections.

What librdkafka says of a call and what each kind of error means:
https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#transactional-producer
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from runtime.errors import (
    ClientUnusableError,
    DependencyError,
    KafkaClientError,
    ProducerFencedError,
    TransactionAbortedError,
)
from runtime.kafka.clients import OnError, make_producer
from runtime.kafka.errors import AUTHORIZATION_ERRORS, FENCING_ERRORS, RECORD_ERRORS, access_denied, clocks_differ
from runtime.settings.model import Settings

log = structlog.get_logger()

CALL_S = 5.0
"""Time-out of one call to librdkafka, in seconds; after a time-out the same call is repeated."""

OVERDUE_S = 2 * CALL_S
"""A call that takes longer may never return: librdkafka ignores the time-out of `send_offsets_to_transaction` while the
group's coordinator is away (https://github.com/confluentinc/librdkafka/issues/5456 and …/5511)."""

UNDISTURBED_S = 1.0
"""A commit that took longer counts as delayed: one of its requests may have been sent twice."""

RETRY_S = 0.1

ANY_PARTITION = -1
"""librdkafka's RD_KAFKA_PARTITION_UA: the partitioner chooses by the key."""

Headers = Sequence[tuple[str, bytes | None]]

_ANY_SIZE = 1_000_000_000
"""librdkafka's highest limit. The pipeline keeps events within their topic's; beyond that the brokers decide."""

_DEFAULTS = {
    "partitioner": "murmur2_random",
    "linger.ms": 5,
    "batch.num.messages": 10_000,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 262_144,
    "compression.type": "lz4",
}
"""Properties that `kafka.properties` may override."""


def check_client(settings: Settings, transactional_id: str, timeout_ms: int) -> None:
    """Make such a producer and drop it, without connecting. Raises ConfigurationError if librdkafka refuses it."""
    _make_client(settings, transactional_id, timeout_ms)


def _make_client(
    settings: Settings,
    transactional_id: str,
    timeout_ms: int,
    on_delivery: Callable[[KafkaError | None, Message], None] | None = None,
    on_error: OnError | None = None,
) -> Producer:
    fixed: dict[str, object] = {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
        "message.timeout.ms": timeout_ms,
        "message.max.bytes": _ANY_SIZE,
        "delivery.report.only.error": True,
    }
    if on_delivery is not None:
        fixed["on_delivery"] = on_delivery
    return make_producer(settings, fixed, _DEFAULTS, on_error)


class _Reports:
    """What a producer's callbacks were told.

    They must not lead back to the producer: librdkafka keeps a reference to one for each record that is not delivered,
    and the garbage collector does not see those. An abandoned producer would stay, with its threads and connections.
    """

    def __init__(self) -> None:
        self.refusals: list[KafkaError] = []
        """Why records of this transaction were not delivered."""
        self.disturbed = False
        """Whether a request may still be on its way that must not reach the next transaction."""

    def on_delivery(self, error: KafkaError | None, _: Message) -> None:
        """Keep the error."""
        if error is not None:
            self.refusals.append(error)

    def on_error(self, _: KafkaError) -> None:
        """Note that a connection failed: a request that was on it may have arrived, and be sent again."""
        self.disturbed = True


class TransactionalProducer:
    """Transactions of one transactional id, one after the other.

    A second producer with the same id fences this one. For one thread at a time, except `overdue` and `close`.
    """

    def __init__(self, settings: Settings, transactional_id: str, timeout_ms: int) -> None:
        """Connect, and end what an earlier producer of this id left unfinished.

        `timeout_ms` is how long brokers let a transaction be open. Raises ClientUnusableError and DependencyError.
        """
        self._settings = settings
        self._transactional_id = transactional_id
        self._timeout_ms = timeout_ms
        self._patience_s = 2 * timeout_ms / 1000
        self._open = False
        """Whether a transaction has begun that was neither committed nor ended otherwise."""
        self._reports = _Reports()
        self._called: float | None = None
        """When the call to librdkafka that is under way began."""
        self._producer = self._connected()

    def begin(self) -> Callable[..., None]:
        """Begin a transaction unless one is open, with a new producer if the last one did not end in order.

        Return librdkafka's own `produce`, for the hot path. It raises BufferError while its queue is full: `produce` of
        this class then waits. What its KafkaException means, `failure` tells.

        Raises TransactionAbortedError, ClientUnusableError and DependencyError.
        """
        if not self._open:
            if self._reports.disturbed:
                log.warning("replacing the producer: the transaction before did not end in order")
                self._producer = self._connected()
            if (error := self._error_of(self._producer, self._producer.begin_transaction)) is not None:
                raise self._translated("write", error)
            self._open = True
        return self._producer.produce

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = ANY_PARTITION,
    ) -> None:
        """Add a record to the open transaction, waiting while the queue is full. librdkafka sets its timestamp.

        Raises TransactionAbortedError, ClientUnusableError and DependencyError.
        """
        producer, deadline = self._producer, time.monotonic() + self._patience_s
        while True:
            try:
                return producer.produce(topic, value, key, partition, headers=list(headers))
            except BufferError:
                error = None
            except KafkaException as raised:
                error = raised.args[0]
            if error is None and time.monotonic() > deadline:
                raise TransactionAbortedError("_QUEUE_FULL", detail="the queue stays full")
            if error is None:
                error = self._error_of(producer, lambda: producer.poll(0.1))
            if error is not None:
                raise self.failure(error)

    def failure(self, error: KafkaError) -> Exception:
        """Return what to raise after an error of librdkafka's `produce`. Call this once it is no longer handled."""
        with contextlib.suppress(KafkaException):
            self._producer.poll(0)  # calls `on_delivery` for what was refused
        return self._translated("write", error)

    def commit(self, offsets: Sequence[TopicPartition], group_metadata: Any) -> float:
        """Commit what was written together with the consumer group's offsets; return how many seconds it took.

        `group_metadata` is what the group's consumer gives for this transaction; it is not used if there are no
        offsets. Raises TransactionAbortedError, ClientUnusableError and DependencyError; whether the transaction took
        place is unknown then, until `abort` has returned.
        """
        begun = time.monotonic()
        producer = self._producer
        if offsets:
            send = producer.send_offsets_to_transaction
            self._with_retry("send offsets", producer, lambda: send(list(offsets), group_metadata, CALL_S))
        self._with_retry("commit", producer, lambda: producer.commit_transaction(CALL_S))
        self._open = False
        took = time.monotonic() - begun
        self._reports.disturbed |= took > UNDISTURBED_S
        return took

    @property
    def overdue(self) -> bool:
        """Whether a call to librdkafka should have returned long ago. For any thread."""
        called = self._called
        return called is not None and time.monotonic() - called > OVERDUE_S

    def abort(self) -> None:
        """End the open transaction, if any: afterwards the committed offsets tell what took place.

        Raises ClientUnusableError and DependencyError.
        """
        if self._open or self._reports.disturbed:
            self._producer = self._connected()

    def close(self, flush_s: float = 0.0) -> None:
        """Abort what is open if the brokers can be reached; otherwise they end it when it times out.

        `flush_s` is how long to let records be delivered first: before the brokers know of a transaction, an abort may
        fail (https://github.com/confluentinc/librdkafka/issues/4849).
        """
        hangs = self.overdue
        if self._open and not hangs:
            # In a thread of its own: an error may be handled in this one, and the client would keep it.
            log_context = contextvars.copy_context()
            ending = threading.Thread(target=log_context.run, args=(self._end, flush_s), name="abort", daemon=True)
            try:
                ending.start()
                ending.join(flush_s + OVERDUE_S)
                hangs = ending.is_alive()
            except RuntimeError as error:  # no thread can be started
                log.warning("transaction left to its time-out", error=str(error))
        if hangs:  # the call keeps the producer to itself; the next one of its name fences it
            log.error("transaction left to its time-out", error="a call of the client does not return")
        self._reports.disturbed |= self._open  # whoever goes on begins with a new producer
        self._open = False

    def _end(self, flush_s: float) -> None:
        abort = self._producer.abort_transaction
        try:
            if flush_s:
                self._producer.flush(flush_s)
            self._with_retry("abort", self._producer, lambda: abort(CALL_S), patience_s=CALL_S)
        except (KafkaClientError, KafkaException, DependencyError) as error:
            log.warning("transaction left to its time-out", error=str(error))

    def _connected(self) -> Producer:
        """Return a new producer with a higher epoch; the transaction before has ended by then."""
        reports = _Reports()
        producer = _make_client(
            self._settings, self._transactional_id, self._timeout_ms, reports.on_delivery, reports.on_error
        )
        self._with_retry("init", producer, lambda: producer.init_transactions(CALL_S))
        # The new epoch fences any request still in flight, so earlier connection errors no longer matter.
        self._open = reports.disturbed = False
        self._reports = reports
        return producer

    def _with_retry(
        self, what: str, producer: Producer, call: Callable[[], object], patience_s: float | None = None
    ) -> None:
        """Repeat the producer's call while its error says that this may help.

        Raises TransactionAbortedError, ClientUnusableError and DependencyError.
        """
        deadline = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        while (error := self._error_of(producer, call)) is not None:
            if not error.retriable() or time.monotonic() > deadline:
                raise self._translated(what, error)
            self._reports.disturbed = True
            time.sleep(RETRY_S)

    def _error_of(self, producer: Producer, call: Callable[[], object]) -> KafkaError | None:
        """Make the producer's call, and let it tell `_reports` and the log what went on."""
        error: KafkaError | None = None
        self._called = time.monotonic()
        try:
            call()
        except KafkaException as raised:
            error = raised.args[0]
        finally:
            self._called = None
        with contextlib.suppress(KafkaException):  # a producer that is broken raises here, too
            producer.poll(0)
        return error

    def _translated(self, what: str, reason: KafkaError) -> Exception:
        """Return the error to raise: abort the transaction, replace the producer, a missing right or a wrong clock."""
        refusals = [refusal for refusal in self._reports.refusals if not refusal.name().startswith("_PURGE")]
        for refusal in (reason, *refusals):
            if refusal.code() in AUTHORIZATION_ERRORS:
                return access_denied(self._settings, refusal, f"write in transactions named {self._transactional_id}")
            if refusal.code() == KafkaError.INVALID_TIMESTAMP:
                return clocks_differ(self._settings, refusal)
        fault = next((one.name() for one in (reason, *refusals) if one.code() in RECORD_ERRORS), None)
        nearest = refusals[0] if refusals else reason
        if what != "init" and not reason.fatal() and (fault or reason.retriable() or reason.txn_requires_abort()):
            return TransactionAbortedError(nearest.name(), fault, detail=nearest.str())
        broken = ProducerFencedError if reason.code() in FENCING_ERRORS else ClientUnusableError
        return broken(f"{what}: {nearest.name()}", detail=nearest.str())
