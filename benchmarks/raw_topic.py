"""Fill the raw topic as fast as one producer can."""

from types import TracebackType
from typing import Self

from runtime.kafka.clients import make_producer
from runtime.settings.model import Settings

Headers = list[tuple[str, str | bytes | None]]


class RawTopic:
    """All is written once the block ends."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.raw
        self._producer = make_producer(settings, {"linger.ms": 20, "compression.type": "lz4", "batch.size": 1_000_000})
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._producer.flush(60)
        if left and kind is None:
            raise TimeoutError(f"{left} webhooks were not written within a minute")

    def write(self, body: bytes, person: str | None, headers: Headers, partition: int = -1) -> None:
        """To the person's partition, unless one is given."""
        while True:
            try:
                self._producer.produce(self._topic, body, person, partition, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._written += 1
        if self._written % 1_000 == 0:
            self._producer.poll(0)
