"""Transactions of commands: all or nothing, and errors that say what to do."""

import pytest
from confluent_kafka import KafkaError, TopicPartition

from runtime.errors import DependencyError
from runtime.kafka.command_transactions import CommandTransactions
from runtime.settings.model import Settings
from tests.support.scripted_producer import ScriptedProducer, error, made

__all__ = ["made"]  # a fixture


def test_a_block_that_raises_is_aborted_and_the_next_transaction_has_another_producer(
    made: list[ScriptedProducer],
) -> None:
    """Delivered first, since an abort that the brokers get before the records can be fatal; and nothing may be reused
    that a late request of the aborted transaction could end."""
    transactions = CommandTransactions(Settings(), "name")

    def fail() -> None:
        with transactions.transaction():
            transactions.produce("topic", value=b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with transactions.transaction():
        transactions.produce("topic", value=b"whole")
    assert [producer.calls for producer in made] == [
        ["init", "begin", "produce", "flush", "abort"],
        ["init", "begin", "produce", "commit"],
    ]


def test_offsets_may_be_filled_within_the_block(made: list[ScriptedProducer]) -> None:
    transactions = CommandTransactions(Settings(), "name")
    offsets: list[TopicPartition] = []
    with transactions.transaction(offsets, "group"):
        offsets.append(TopicPartition("raw", 3, 7))
    assert made[0].offsets == [(3, 7)]
    assert made[0].calls == ["init", "begin", "offsets", "commit"]


def test_a_commit_that_timed_out_is_repeated_and_then_the_producer_replaced(made: list[ScriptedProducer]) -> None:
    transactions = CommandTransactions(Settings(), "name")
    ScriptedProducer.script = [("commit", error(KafkaError._TIMED_OUT, retriable=True))]
    with transactions.transaction():
        pass
    with transactions.transaction():
        pass
    assert [producer.calls for producer in made] == [["init", "begin", "commit", "commit"], ["init", "begin", "commit"]]


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("begin", KafkaError._FENCED, "another command took over"),
        ("commit", KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "sternpost acls"),
        ("commit", KafkaError.UNKNOWN_TOPIC_OR_PART, "run the command again"),
        ("commit", KafkaError._STATE, "run the command again"),
    ],
)
def test_every_error_ends_the_command_with_what_to_do(
    made: list[ScriptedProducer], call: str, code: int, words: str
) -> None:
    transactions = CommandTransactions(Settings(), "name")
    ScriptedProducer.script = [(call, error(code, abort=code == KafkaError.UNKNOWN_TOPIC_OR_PART))]
    with pytest.raises(DependencyError, match=words) as raised, transactions.transaction():
        pass
    assert len(made) == 1
    assert "name" in str(raised.value) or "did not take the transaction" in str(raised.value)


def test_a_right_that_is_missing_at_the_start_ends_the_command(made: list[ScriptedProducer]) -> None:
    ScriptedProducer.script = [("init", error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED))]
    with pytest.raises(DependencyError, match=r"transactions named name .*sternpost acls"):
        CommandTransactions(Settings(), "name")
    assert made[0].calls == ["init"]
