"""Writes one record at a time and waits for the brokers' answer, for checks rather than for traffic."""

from confluent_kafka import KafkaError, KafkaException, Message

from runtime.errors import KafkaRequestError
from runtime.kafka.admin import TIMEOUT_S
from runtime.kafka.clients import make_producer
from runtime.kafka.errors import unreachable
from runtime.settings.model import Settings


class SynchronousProducer:
    """A producer whose records are acknowledged before `send` returns."""

    def __init__(self, settings: Settings) -> None:
        """Make the client, without connecting. Raises ConfigurationError."""
        self._settings = settings
        self._producer = make_producer(settings, {"message.timeout.ms": TIMEOUT_S * 1000})

    def send(self, topic: str, value: bytes, partition: int) -> int:
        """Write a record and return its timestamp, in milliseconds since the Unix epoch. Raises KafkaRequestError."""
        answers: list[tuple[KafkaError | None, int]] = []

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            answers.append((error, message.timestamp()[1]))

        self._producer.produce(topic, value, partition=partition, on_delivery=on_delivery)
        self._producer.flush(TIMEOUT_S + 1)
        if not answers:
            raise KafkaRequestError(f"Kafka at {self._settings.kafka.bootstrap_servers} does not acknowledge a record")
        [(error, timestamp_ms)] = answers
        if error is not None:
            raise unreachable(self._settings, KafkaException(error))
        return timestamp_ms
