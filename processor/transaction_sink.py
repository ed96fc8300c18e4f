"""The processor's `TransactionSink` on Kafka: events and dead letters through the transactional producer."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord, headers_of, received_at_ms
from runtime import metrics
from runtime.kafka.group_offsets import TopicPartition
from runtime.kafka.message_headers import Headers
from runtime.kafka.transactional_producer import TransactionalProducer
from runtime.settings.model import Settings
from schemas import record_headers


class KafkaTransactionSink:
    """Events, dead letters and the group's offsets, in one transaction a batch."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        """Connect, and end what an earlier producer of this id left unfinished.

        Raises ClientUnusableError and DependencyError.
        """
        self._topics = settings.topics
        self._producer = TransactionalProducer(settings, transactional_id, settings.processor.transaction_timeout_ms)
        self._seconds = metrics.PROCESSOR_TRANSACTION_SECONDS.labels()

    def write(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        """See `TransactionSink.write`."""
        topic, dead_letters = self._topics.events, self._topics.dead_letters
        wait_and_produce = self._producer.produce
        error: KafkaError | None = None
        produce = self._producer.begin()
        try:
            for record, outcome in zip(records, outcomes, strict=True):
                if type(outcome) is Event:
                    try:
                        if outcome.traceparent is None:
                            produce(topic, outcome.value, outcome.key)
                        else:
                            produce(topic, outcome.value, outcome.key, headers=headers_of(outcome))
                    except BufferError:
                        pass
                    else:
                        continue
                    wait_and_produce(topic, outcome.value, outcome.key, headers_of(outcome))
                elif type(outcome) is DeadLetter:
                    wait_and_produce(dead_letters, record.value, record.key, dead_letter_headers(record, outcome))
        except KafkaException as raised:
            error = raised.args[0]
        if error is not None:
            raise self._producer.failure(error)

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        """See `TransactionSink.commit`."""
        raw = self._topics.raw
        positions = [TopicPartition(raw, partition, offset) for partition, offset in offsets.items()]
        self._seconds.observe(self._producer.commit(positions, group_metadata))

    @property
    def overdue(self) -> bool:
        """See `TransactionSink.overdue`."""
        return self._producer.overdue

    def abort(self) -> None:
        """See `TransactionSink.abort`."""
        self._producer.abort()

    def close(self) -> None:
        """See `TransactionSink.close`."""
        self._producer.close()


def dead_letter_headers(record: RawRecord, dead: DeadLetter) -> Headers:
    """Return the raw record's headers, when it was received, and why there is no event for it."""
    ours = {
        record_headers.RECEIVED_AT: str(received_at_ms(record)),  # the dead letter's own timestamp says when it failed
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
