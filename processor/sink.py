"""The way out: a transactional producer that takes events, dead letters and offsets together, or none of them.

librdkafka has no client side of KIP-890, so a commit or abort that timed out on our side may still arrive at the broker
late, and end the *next* transaction. Whenever one did, it is first resolved, and then the producer is replaced: the new
one has the same transactional id and a higher epoch, which fences whatever is still on its way.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.records import DeadLetter, Event, Outcome, RawRecord
from runtime import metrics
from runtime.kafka import producer_config
from runtime.settings import Settings
from schemas import headers

log = structlog.get_logger()

CALL_S = 5.0
"""One call to librdkafka; a time-out of it is followed by the same call again."""

RECORD_FAULTS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
    }
)
"""What a broker says of a record that it will never take, however often it is sent."""

PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""What an abort itself does to records on their way."""


class Aborted(Exception):
    """The transaction did not take place: go back to the committed offsets and begin again."""

    def __init__(self, cause: str, record_fault: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.record_fault = record_fault
        """The broker's reason, where it refused one of the records for good."""


class Broken(Exception):
    """The producer, or the membership behind it, is of no more use: make all of it anew."""


class Sink:
    """One transaction after the other. All methods block, and are for one thread at a time."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        """Connects, and ends what an earlier producer of this id left unfinished. Raises Broken."""
        self._settings = settings
        self._transactional_id = transactional_id
        self._events, self._dead_letters = settings.topics.events, settings.topics.dead_letters
        self._patience_s = 2 * settings.processor.transaction_timeout_ms / 1000
        self._open = False
        self._timed_out = False
        self._refusals: list[str] = []
        self._record_faults: list[str] = []
        self._producer = self._connect()

    def _connect(self) -> Producer:
        processor = self._settings.processor
        producer = Producer(
            producer_config(
                self._settings,
                **{
                    "transactional.id": self._transactional_id,
                    "transaction.timeout.ms": processor.transaction_timeout_ms,
                    "message.timeout.ms": processor.transaction_timeout_ms,
                    "partitioner": "murmur2_random",
                    "linger.ms": 5,
                    "batch.num.messages": 10_000,
                    "batch.size": 1_000_000,
                    "queue.buffering.max.messages": 100_000,
                    "queue.buffering.max.kbytes": 262_144,
                    "compression.type": self._settings.kafka.properties.get("compression.type", "lz4"),
                    "delivery.report.only.error": True,
                    "on_delivery": self._delivered,
                },
            )
        )
        self._until_done("init_transactions", lambda: producer.init_transactions(CALL_S), Broken)
        return producer

    def write(self, records: Iterable[RawRecord], outcomes: Iterable[Outcome]) -> None:
        """Begins a transaction where none is open, and hands each outcome to the producer.

        Raises Aborted or Broken.
        """
        self._settle_stale()
        try:
            if not self._open:
                self._producer.begin_transaction()
                self._open = True
            produce, topic = self._producer.produce, self._events
            for record, outcome in zip(records, outcomes, strict=True):
                if type(outcome) is Event:
                    key, value, event_headers, timestamp_ms = outcome
                    try:
                        produce(topic, value, key, headers=event_headers, timestamp=timestamp_ms)  # type: ignore[arg-type]
                    except BufferError:
                        self._produce(topic, value, key, event_headers, timestamp_ms)
                elif type(outcome) is DeadLetter:
                    self._produce(self._dead_letters, record.value, record.key, _of_dead_letter(record, outcome), 0)
        except KafkaException as error:
            self._raise(error)

    def commit(self, offsets: Mapping[tuple[str, int], int], group_metadata: Any) -> None:
        """Commits what was written, and the group's offsets (the next to read) with it. Raises Aborted or Broken.

        Nothing but this may be under way on the sink meanwhile.
        """
        begun = time.monotonic()
        positions = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        producer = self._producer
        if not self._open:
            self._until_done("begin", producer.begin_transaction, Aborted)
            self._open = True
        send = producer.send_offsets_to_transaction
        self._until_done("send offsets", lambda: send(positions, group_metadata, CALL_S), Aborted)
        self._until_done("commit", lambda: producer.commit_transaction(CALL_S), Aborted)
        self._open = False
        metrics.PROCESSOR_TRANSACTION_SECONDS.labels().observe(time.monotonic() - begun)

    def abort(self) -> None:
        """Ends the open transaction without effect; does nothing where none is open. Raises Broken."""
        if self._open:
            self._until_done("abort", lambda: self._producer.abort_transaction(CALL_S), Broken)
            self._open = False
        self._producer.poll(0)  # the reports of what was purged belong to this transaction, not to the next
        self._refusals.clear()
        self._record_faults.clear()
        self._settle_stale()

    def close(self) -> None:
        """Aborts what is open, as far as the brokers can be reached."""
        try:
            self.abort()
        except Broken as error:
            log.warning("transaction left to its time-out", error=str(error))

    def _settle_stale(self) -> None:
        if self._timed_out:
            log.warning("replacing the producer after a time-out", transactional_id=self._transactional_id)
            self._timed_out = False
            self._producer = self._connect()

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, of_record: Any, timestamp_ms: int) -> None:
        """As long as the queue is full, waits for it to empty."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                self._producer.produce(topic, value, key, headers=of_record, timestamp=timestamp_ms)
            except BufferError:
                if time.monotonic() > deadline:
                    raise Aborted("queue full") from None
                self._producer.poll(0.1)
            else:
                return

    def _until_done(self, what: str, call: Callable[[], object], otherwise: type[Aborted] | type[Broken]) -> None:
        """Calls again while the error says that this may help.

        Raises Aborted where the transaction must be aborted (`otherwise` permitting), Broken in any other case.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                call()
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.retriable() and time.monotonic() < deadline:
                    if reason.code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
                        self._timed_out = True
                    continue
                if reason.txn_requires_abort() and otherwise is Aborted:
                    self._raise(error)
                raise Broken(f"{what}: {reason.name()}") from error
            else:
                return

    def _raise(self, error: KafkaException) -> None:
        reason: KafkaError = error.args[0]
        if reason.fatal() or not (reason.txn_requires_abort() or reason.retriable()):
            raise Broken(reason.name()) from error
        self._producer.poll(0)
        record_fault = self._record_faults[0] if self._record_faults else None
        if reason.code() in RECORD_FAULTS:
            record_fault = record_fault or reason.name()
        raise Aborted(self._refusals[0] if self._refusals else reason.name(), record_fault) from error

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None and error.code() not in PURGED:
            self._refusals.append(error.name())
            if error.code() in RECORD_FAULTS:
                self._record_faults.append(error.name())


def _of_dead_letter(record: RawRecord, dead: DeadLetter) -> list[tuple[str, bytes | None]]:
    ours = {
        headers.ERROR_CODE: dead.code.value,
        headers.ERROR_MESSAGE: dead.message,
        headers.ERROR_FIELD: dead.field,
        headers.ERROR_STAGE: dead.stage.value,
        headers.RAW_TOPIC: record.topic,
        headers.RAW_PARTITION: str(record.partition),
        headers.RAW_OFFSET: str(record.offset),
    }
    kept = [(name, value) for name, value in record.headers if name not in ours]
    return [*kept, *((name, text.encode()) for name, text in ours.items() if text is not None)]
