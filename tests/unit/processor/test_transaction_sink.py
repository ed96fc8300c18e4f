"""What the sink makes of what librdkafka says, told it by a producer of the test's own."""

import itertools
import threading
import time

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException

from processor.pipeline.records import DeadLetter, Event, identify
from processor.transaction_sink import KafkaTransactionSink, dead_letter_headers
from runtime.errors import ClientUnusableError, KafkaRequestError, ProducerFencedError, TransactionAbortedError
from runtime.kafka import transactional_producer
from runtime.settings.model import Settings
from schemas.error_codes import ErrorCode, Stage
from tests.support.raw_records import raw
from tests.support.scripted_producer import ScriptedProducer, error, made
from tests.support.waiting import PATIENCE_S

__all__ = ["made"]  # a fixture

EVENT = Event(b"person", b"value", None)


def transact(sink: KafkaTransactionSink) -> None:
    sink.write([raw()], [EVENT])
    sink.commit({0: 1}, None)


def test_a_producer_is_kept_while_all_goes_well(made: list[ScriptedProducer]) -> None:
    sink = KafkaTransactionSink(Settings(), "id")
    transact(sink)
    transact(sink)
    (producer,) = made
    assert producer.calls == ["init", *["begin", "produce", "offsets", "commit"] * 2]
    assert producer.offsets == [(0, 1)]


@pytest.mark.parametrize("call", ["offsets", "commit"])
def test_a_call_that_timed_out_is_made_again_and_then_the_producer_replaced(
    made: list[ScriptedProducer], call: str
) -> None:
    """What timed out may still be on its way: a new producer's epoch fences it before the next transaction begins."""
    sink = KafkaTransactionSink(Settings(), "id")
    ScriptedProducer.script = [(call, error(KafkaError._TIMED_OUT, retriable=True))] * 2
    transact(sink)
    assert made[0].calls.count(call) == 3
    assert made[0].calls[-1] == "commit"
    transact(sink)
    assert len(made) == 2
    assert made[1].calls == ["init", "begin", "produce", "offsets", "commit"]
    transact(sink)
    assert len(made) == 2


def test_a_commit_that_took_long_counts_as_held_up(
    made: list[ScriptedProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = KafkaTransactionSink(Settings(), "id")
    clock = itertools.count(0.0, 2 * transactional_producer.UNDISTURBED_S)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    transact(sink)
    sink.write([raw()], [EVENT])
    assert len(made) == 2


def test_an_abort_replaces_the_producer(made: list[ScriptedProducer]) -> None:
    sink = KafkaTransactionSink(Settings(), "id")
    sink.abort()
    assert len(made) == 1, "nothing was open"
    sink.write([raw()], [EVENT])
    sink.abort()
    transact(sink)
    assert [producer.calls for producer in made] == [
        ["init", "begin", "produce"],
        ["init", "begin", "produce", "offsets", "commit"],
    ]


def test_an_abort_that_does_not_return_is_left_behind(
    made: list[ScriptedProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = threading.Event()
    monkeypatch.setattr(transactional_producer, "OVERDUE_S", 0.05)
    monkeypatch.setattr(ScriptedProducer, "abort_transaction", lambda *_: returns.wait(PATIENCE_S))
    sink = KafkaTransactionSink(Settings(), "id")
    sink.write([raw()], [EVENT])
    with structlog.testing.capture_logs() as lines:
        sink.close()
    assert [line["event"] for line in lines] == ["transaction left to its time-out"]
    assert not returns.is_set()
    returns.set()


def test_reports_of_an_aborted_transaction_are_not_the_next_ones(made: list[ScriptedProducer]) -> None:
    sink = KafkaTransactionSink(Settings(), "id")
    sink.write([raw()], [EVENT])
    made[0].reports = [KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)]
    sink.abort()  # before it was told
    sink.write([raw()], [EVENT])
    ScriptedProducer.script = [("commit", error(KafkaError._STATE, abort=True))]
    with pytest.raises(TransactionAbortedError) as aborted:
        sink.commit({0: 1}, None)
    assert aborted.value.record_fault is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (error(KafkaError.ILLEGAL_GENERATION, abort=True), TransactionAbortedError),
        (error(KafkaError.UNKNOWN_MEMBER_ID, abort=True), TransactionAbortedError),
        (error(KafkaError.FENCED_INSTANCE_ID, abort=True), TransactionAbortedError),
        (error(KafkaError._FENCED, fatal=True), ProducerFencedError),
        (error(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, abort=True, fatal=True), ClientUnusableError),
        (error(KafkaError._STATE), ClientUnusableError),
        (error(KafkaError.UNKNOWN), ClientUnusableError),
        (error(KafkaError.TOPIC_AUTHORIZATION_FAILED, abort=True), KafkaRequestError),
        (error(KafkaError.GROUP_AUTHORIZATION_FAILED, abort=True), KafkaRequestError),
    ],
    ids=lambda value: value.args[0].name() if isinstance(value, KafkaException) else value.__name__,
)
def test_what_an_error_means(made: list[ScriptedProducer], reason: KafkaException, expected: type[Exception]) -> None:
    sink = KafkaTransactionSink(Settings(), "id")
    sink.write([raw()], [EVENT])
    ScriptedProducer.script = [("offsets", reason)]
    with pytest.raises(expected) as raised:
        sink.commit({0: 1}, None)
    assert type(raised.value) is expected
    assert getattr(raised.value, "record_fault", None) is None, "no record is to blame"
    assert made[0].calls.count("offsets") == 1


@pytest.mark.parametrize(
    ("code", "blames_a_record"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, True),
        (KafkaError.RECORD_LIST_TOO_LARGE, True),
        (KafkaError.INVALID_RECORD, True),
        (KafkaError.NOT_ENOUGH_REPLICAS, False),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, False),
        (KafkaError._MSG_TIMED_OUT, False),
        (KafkaError.KAFKA_STORAGE_ERROR, False),
    ],
)
def test_which_refusals_are_one_records_fault(made: list[ScriptedProducer], code: int, blames_a_record: bool) -> None:
    sink = KafkaTransactionSink(Settings(), "id")
    sink.write([raw()], [EVENT])
    made[0].reports = [KafkaError(code)]
    ScriptedProducer.script = [("offsets", error(KafkaError._STATE, abort=True))]
    with pytest.raises(TransactionAbortedError) as aborted:
        sink.commit({0: 1}, None)
    assert aborted.value.record_fault == (KafkaError(code).name() if blames_a_record else None)


def test_a_wrong_clock_is_no_records_fault(made: list[ScriptedProducer]) -> None:
    """Else every event would become a dead letter, until the clock is right again."""
    sink = KafkaTransactionSink(Settings(), "id")
    sink.write([raw()], [EVENT])
    made[0].reports = [KafkaError(KafkaError.INVALID_TIMESTAMP)]
    ScriptedProducer.script = [("offsets", error(KafkaError._STATE, abort=True))]
    with pytest.raises(KafkaRequestError, match=r"\(INVALID_TIMESTAMP\): this machine's clock or a broker's is wrong"):
        sink.commit({0: 1}, None)


@pytest.mark.parametrize("received_at", [None, b"1700000000000", b"no number"])
def test_a_dead_letter_keeps_when_its_body_was_received(received_at: bytes | None) -> None:
    """Its own timestamp says when it failed, and that of the record that is sent back says when it was sent back."""
    record = raw(headers=[("source", b"shop"), *([("received_at", received_at)] if received_at else [])])
    letter = dead_letter_headers(record, DeadLetter(ErrorCode.INTERNAL_ERROR, Stage.MAP, None, "a fault"))
    assert [name for name, _ in letter].count("received_at") == 1
    sent_back = record.replace(timestamp_ms=record.timestamp_ms + 86_400_000, headers=letter)
    assert identify(sent_back).received_at_ms == identify(record).received_at_ms
