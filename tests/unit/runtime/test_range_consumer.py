"""What a range's reader makes of errors among its messages, told it by a consumer of the test's own."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from runtime.errors import KafkaRequestError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings


class Message:
    def __init__(self, offset: int, error: int | None = None) -> None:
        self._offset, self._error = offset, error

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)


class Consumer:
    """Gives one message after the other."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def assign(self, _: Any) -> None:
        """Only partition 0 is read."""

    pause = assign

    def consume(self, count: int, _: float) -> list[Message]:
        taken, self._messages = self._messages[:count], self._messages[count:]
        return taken


def offsets(monkeypatch: pytest.MonkeyPatch, *messages: Message) -> list[int | None]:
    monkeypatch.setattr(range_consumer, "make_consumer", lambda *_: Consumer(*messages))
    found = range_consumer.read_ranges(Settings(), "raw", [OffsetRange(0, 5, 7)])
    return [message.offset() for batch in found for message in batch]


@pytest.mark.parametrize(
    "code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH, KafkaError._ALL_BROKERS_DOWN]
)
def test_an_error_that_passes_by_itself_is_waited_out(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    assert offsets(monkeypatch, Message(5), Message(-1, code), Message(6)) == [5, 6]


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_any_other_error_ends_the_reading(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    with pytest.raises(KafkaRequestError):
        offsets(monkeypatch, Message(5), Message(-1, code), Message(6))
