"""The way in: a member of the consumer group, as batches of raw records and changes of what is assigned.

Partitions come paused. Whoever works on them says `start` once it knows all that came before, so that nothing is read
too early.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from processor.records import RawRecord
from runtime.kafka import consumer_config
from runtime.settings import Settings

log = structlog.get_logger()

SLICE = 1_000
"""Records taken at a time; between two, the batch's bytes are counted."""

GATHER_S = 0.005
"""Where records are to be gathered while a commit is under way, how long one more slice is waited for."""

CALL_S = 30.0

OnAssign = Callable[[dict[int, int]], None]
"""Called with the next offset to read of each partition."""

OnRevoke = Callable[[list[int]], None]


class Lost(Exception):
    """The membership is gone for good: another process has this one's place, or the client failed."""


class Source:
    """All methods are for one thread; the callbacks are called within `poll` and `close`."""

    def __init__(
        self, settings: Settings, instance_id: str, on_assign: OnAssign, on_revoke: OnRevoke, on_lost: OnRevoke
    ) -> None:
        """`on_revoke` is called while the partitions are still ours: what is in hand can be committed."""
        processor = settings.processor
        self.topic = settings.topics.raw
        self._max_records, self._max_bytes = processor.batch_max_records, processor.batch_max_bytes
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self.is_member = False
        """Whether the group has given us our share, which may be nothing."""
        self._consumer = Consumer(
            consumer_config(
                settings,
                **{
                    "group.id": processor.group_id,
                    "group.instance.id": instance_id,
                    "session.timeout.ms": processor.session_timeout_ms,
                    "max.poll.interval.ms": processor.max_poll_interval_ms,
                    "partition.assignment.strategy": "cooperative-sticky",
                    "fetch.wait.max.ms": 50,
                    "fetch.error.backoff.ms": 100,
                    "queued.min.messages": 2 * processor.batch_max_records,
                    "queued.max.messages.kbytes": max(16_384, 2 * processor.batch_max_bytes // 1024),
                },
            )
        )
        self._consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def poll(self, timeout_s: float, *, gather: bool) -> list[RawRecord]:
        """The next records, at most a batch of them; as soon as there is one, unless more are to be gathered.

        Raises Lost.
        """
        messages = self._consumer.consume(1, timeout_s)
        size = sum(map(len, messages))
        while messages and len(messages) < self._max_records and size < self._max_bytes:
            more = self._consumer.consume(min(SLICE, self._max_records - len(messages)), GATHER_S if gather else 0.0)
            if not more:
                break
            messages += more
            size += sum(map(len, more))
        return [record for message in messages if (record := self._record(message)) is not None]

    def start(self, partitions: Iterable[int]) -> None:
        """Begins to read partitions that were assigned, rewound or paused."""
        self._consumer.resume([TopicPartition(self.topic, partition) for partition in partitions])

    def pause(self, partitions: Iterable[int]) -> None:
        """Has `poll` give no record of these partitions, until they are started."""
        self._consumer.pause([TopicPartition(self.topic, partition) for partition in partitions])

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset to read of each: the group's, or the topic's first. Raises KafkaException."""
        asked = [TopicPartition(self.topic, partition) for partition in partitions]
        found = {}
        for tp in self._consumer.committed(asked, timeout=CALL_S) if asked else []:
            if tp.error is not None:
                raise KafkaException(tp.error)
            low, high = self._consumer.get_watermark_offsets(tp, timeout=CALL_S)
            found[tp.partition] = max(tp.offset, low) if 0 <= tp.offset <= high else low
        return found

    def rewind(self, positions: Mapping[int, int]) -> None:
        """Pauses the partitions, and reads them from these offsets when they are started."""
        moved = [TopicPartition(self.topic, partition, offset) for partition, offset in positions.items()]
        self._consumer.incremental_unassign([TopicPartition(tp.topic, tp.partition) for tp in moved])
        self._consumer.incremental_assign(moved)
        self._consumer.pause([TopicPartition(tp.topic, tp.partition) for tp in moved])

    def group_metadata(self) -> Any:
        """Who we are in the group now; to be fetched anew for each transaction."""
        return self._consumer.consumer_group_metadata()

    def lag(self, partitions: Iterable[int]) -> int:
        """Records between our position and the last stable offset, as the last fetches had it."""
        behind = 0
        for tp in self._consumer.position([TopicPartition(self.topic, partition) for partition in partitions]):
            _, end = self._consumer.get_watermark_offsets(tp, cached=True)
            behind += max(0, end - tp.offset) if tp.offset >= 0 else 0
        return behind

    def close(self) -> None:
        """Leaves; partitions go to others when the session times out, or come back to a restart before that."""
        self._consumer.close()

    def _record(self, message: Message) -> RawRecord | None:
        error = message.error()
        if error is None:
            return RawRecord(
                self.topic,
                message.partition(),  # type: ignore[arg-type]
                message.offset(),  # type: ignore[arg-type]
                message.timestamp()[1],
                message.key(),
                message.value(),
                message.headers() or [],  # type: ignore[arg-type]
            )
        if error.fatal() or error.code() == KafkaError.FENCED_INSTANCE_ID:
            raise Lost(error.name())
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            self.is_member = False
        log.warning("consumer error", error=error.name())
        return None

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [tp.partition for tp in partitions]
        positions = self.committed(numbers)
        consumer.incremental_assign([TopicPartition(self.topic, p, offset) for p, offset in positions.items()])
        consumer.pause(partitions)
        self.is_member = True
        self._on_assign(positions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_revoke([tp.partition for tp in partitions])
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.is_member = False
        self._on_lost([tp.partition for tp in partitions])
        consumer.incremental_unassign(partitions)
