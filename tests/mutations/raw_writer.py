"""Writes the raw topic as ingest does, where no ingest takes part."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from tests.chaos.expected import raw_parts_of
from tests.chaos.load import BROKEN_SHARE, REPEATED_SHARE, Sent, event
from tests.chaos.pipeline import PARTITIONS
from tests.support.kafka import idempotent_producer

FLUSH_S = 180.0


class RawWriter:
    """An idempotent producer of bodies, and what brokers have acknowledged of them."""

    def __init__(self, bootstrap_servers: str, topic: str, rng: random.Random) -> None:
        self.acknowledged: list[Sent] = []
        self._topic = topic
        self._rng = rng
        self._producer = idempotent_producer(bootstrap_servers, {"partitioner": "murmur2_random"})

    @contextmanager
    def flow(self, at_once: int = 0, rate: int = 100) -> Iterator[None]:
        """Write to the raw topic as ingest does, so many events at once and others while a `with` block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self._write_all, args=(at_once, rate, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def more(self) -> None:
        """Write an event for each of some new people, so that every partition has some."""
        for number in range(3 * PARTITIONS):
            self.write(event(f"late-{number}", f"late-{number}", 0, False, self._rng))

    def write(self, sent: Sent, timestamp_ms: int = 0, attempt: int = 0) -> None:
        """Write a body to the raw topic as ingest would, or as a redrive would, dated as given (0: now)."""
        self._produce(sent, timestamp_ms, attempt)
        assert self._producer.flush(FLUSH_S) == 0
        self.acknowledged.append(sent)

    def write_again(self) -> None:
        """Write each body to the raw topic once more."""
        for sent in self.acknowledged:
            self._produce(sent)
        assert self._producer.flush(FLUSH_S) == 0

    def _write_all(self, at_once: int, rate: int, stop: threading.Event) -> None:
        """Some events are broken, some are repeated; a person's follow one another."""
        numbers: Counter[str] = Counter()
        count = 0
        while count < at_once or not stop.wait(1 / rate):
            person = f"person-{self._rng.randrange(100)}"
            sent = event(f"flow-{count}", person, numbers[person], self._rng.random() < BROKEN_SHARE, self._rng)
            numbers[person] += 1
            count += 1
            self._produce(sent)
            if self._rng.random() < REPEATED_SHARE:
                self._produce(self._rng.choice(self.acknowledged[-200:] or [sent]))
            self.acknowledged.append(sent)
        assert self._producer.flush(FLUSH_S) == 0

    def _produce(self, sent: Sent, timestamp_ms: int = 0, attempt: int = 0) -> None:
        parts = raw_parts_of(sent)
        key = parts.pop("key")
        headers = [*parts.items(), *([("attempt", str(attempt).encode())] if attempt else [])]
        partition = -1 if key else crc32(sent.body) % PARTITIONS
        self._producer.produce(self._topic, sent.body, key, partition, headers=headers, timestamp=timestamp_ms)
