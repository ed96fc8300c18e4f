"""A member of the consumer group on Kafka: implements `interfaces.GroupConsumer`.

Membership is static: a worker that restarts within the session timeout gets its partitions back, and no other member
stops for it (KIP-345). Assignment is incremental in both group protocols, so only the partitions that move are stopped.
In `classic`, members assign by a cooperative strategy (KIP-429:
https://cwiki.apache.org/confluence/display/KAFKA/KIP-429%3A+Kafka+Consumer+Incremental+Rebalance+Protocol);
in `consumer`, brokers do (KIP-848:
https://cwiki.apache.org/confluence/display/KAFKA/KIP-848%3A+The+Next+Generation+of+the+Consumer+Rebalance+Protocol).
"""

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from processor.assignment_check import UnassignedPartitions, UntoldPartitions
from processor.interfaces import RebalanceListener
from processor.pipeline.records import RawRecord, raw_records
from runtime import metrics
from runtime.errors import (
    ClientUnusableError,
    ConfigurationError,
    InstanceFencedError,
    InstanceInUseError,
    ProcessorHaltedError,
)
from runtime.kafka.admin import KafkaAdmin, ResourceType
from runtime.kafka.clients import make_consumer
from runtime.kafka.config import record_limits
from runtime.kafka.errors import AUTHORIZATION_ERRORS, access_denied
from runtime.kafka.group_offsets import how_to_reset
from runtime.settings.model import GroupProtocol, ProcessorSettings, Settings

log = structlog.get_logger()

CHUNK = 1_000
"""The number of records fetched at a time; between two fetches the bytes of the batch are counted."""

GATHER_TIMEOUT_S = 0.005
"""How long to wait for more records, if there is time to wait."""

FETCH_BYTES = 8 << 20
"""The size of one fetch response, compressed. By default dozens of partitions would fetch a megabyte each at a time,
and then decompress it."""

HEARTBEAT_MS = 1_000
"""A member learns of a rebalance through its heartbeats, and a cooperative rebalance takes two.
https://kafka.apache.org/documentation/#consumerconfigs_heartbeat.interval.ms"""

TIMEOUT_S = 30.0

LAG_TIMEOUT_S = 0.5
"""The longest time to wait for the end of one partition when measuring lag."""

_UNSUPPORTED = frozenset({KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE})
_FATAL_CAUSES = {
    KafkaError(code).str(): code
    for code in (
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNRELEASED_INSTANCE_ID,
        *AUTHORIZATION_ERRORS,
        *_UNSUPPORTED,
    )
}
"""An error that is fatal to a consumer comes as _FATAL, with the reason only in its text."""

_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})


class KafkaGroupConsumer:
    """A `GroupConsumer` on librdkafka. See the interface for what its methods promise."""

    def __init__(self, settings: Settings, instance_id: str, listener: RebalanceListener) -> None:
        """Subscribe to the raw topic as the static member `instance_id`."""
        processor = settings.processor
        self._settings = settings
        self._topic = settings.topics.raw
        self._brokers_assign = processor.group_protocol is GroupProtocol.CONSUMER
        self._max_records, self._max_bytes = processor.batch_max_records, processor.batch_max_bytes
        self._listener = listener
        self.is_member = False
        self._without_offset: set[int] = set()
        self._buffered: list[RawRecord] = []
        """The batch that `poll` is collecting."""
        self._consumer = make_consumer(
            settings,
            {
                "group.id": processor.group_id,
                "group.instance.id": instance_id,
                "max.poll.interval.ms": processor.max_poll_interval_ms,
                **({} if self._brokers_assign else _classic(processor)),
                "group.protocol": str(processor.group_protocol),
                # `committed` decides what to do if an offset does not exist, and logs or reports it.
                "auto.offset.reset": "error",
                "fetch.max.bytes": max(FETCH_BYTES, record_limits(settings).raw),
            },
            {
                **({} if self._brokers_assign else {"heartbeat.interval.ms": HEARTBEAT_MS}),
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 100,
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 2 * processor.batch_max_records,
                "queued.max.messages.kbytes": max(16_384, 2 * processor.batch_max_bytes // 1024),
            },
        )
        self._unassigned = None if self._brokers_assign else UnassignedPartitions(settings)
        self._untold = UntoldPartitions(settings, instance_id) if self._brokers_assign else None
        self._as_pattern = False
        self._outside = self._consumer.consumer_group_metadata()
        """This member's identity while it is not in the group."""
        self._subscribe()

    def poll(self, timeout_s: float, may_wait: Callable[[], bool]) -> list[RawRecord]:
        """Return the next batch, and let the group rebalance if a partition has no member."""
        with _translate_errors():
            self._check_assignment()
            joined = not self.is_member and self._has_joined()
            self._buffered = []
            messages = self._consumer.consume(1, timeout_s)
            self.is_member = self.is_member or joined
            size = self._take(messages)
            while self._buffered and len(self._buffered) < self._max_records and size < self._max_bytes:
                waiting = may_wait()
                room = min(CHUNK, self._max_records - len(self._buffered))
                messages = self._consumer.consume(room, GATHER_TIMEOUT_S if waiting else 0.0)
                if not messages and not waiting:
                    break
                size += self._take(messages)
        records, self._buffered = self._buffered, []
        return records

    def _check_assignment(self) -> None:
        """See to it that somebody reads each partition. Raises ClientUnusableError if it takes a new consumer."""
        if self._unassigned is not None and (partitions := self._unassigned.take()):
            log.warning("partitions without a member: making the group rebalance", partitions=partitions)
            self._as_pattern = not self._as_pattern
            self._subscribe()
            self._unassigned.schedule()
        if self._untold is not None and (
            partitions := self._untold.take([tp.partition for tp in self._consumer.assignment()])
        ):
            raise ClientUnusableError(
                f"brokers count partitions {partitions} as this member's, and it does not read them"
            )

    def _take(self, messages: list[Message]) -> int:
        """Add what was fetched to the batch, and return its bytes. Raises what an error in it means."""
        records, errors = raw_records(self._topic, messages)
        self._buffered += records
        for error in errors:
            if (fatal := self._fatal_error(error)) is not None:
                raise fatal
            if error.code() == KafkaError._MAX_POLL_EXCEEDED:
                self._leave()
            log.warning("consumer error", error=error.name())
        return sum(map(len, messages))

    def committed(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the next offset to read of each partition, as the group committed it."""
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        if not asked:
            return {}
        with _translate_errors():
            # With isolation level read_committed, brokers answer once no open transaction may still change the offset
            # (KIP-447: https://cwiki.apache.org/confluence/display/KAFKA/KIP-447%3A+Producer+scalability+for+exactly+once+semantics).
            answered = self._consumer.committed(asked, timeout=TIMEOUT_S)
            ends = [self._consumer.get_watermark_offsets(tp, timeout=TIMEOUT_S) for tp in asked]
        for tp in answered:
            if tp.error is not None:
                raise ClientUnusableError(tp.error.name())
        self._without_offset -= set(partitions)
        self._without_offset |= {tp.partition for tp in answered if tp.offset < 0}
        return {tp.partition: self._position(tp, low, high) for tp, (low, high) in zip(answered, ends, strict=True)}

    def has_offset(self, partition: int) -> bool:
        """Return whether the group had committed an offset when `committed` last asked."""
        return partition not in self._without_offset

    def _position(self, committed: TopicPartition, low: int, high: int) -> int:
        if committed.offset < 0:
            return low  # the group has never committed an offset here
        if committed.offset > high:
            raise ProcessorHaltedError(
                f"the group is at offset {committed.offset} of {self._topic}[{committed.partition}], which ends at "
                f"{high}: the brokers lost records, or the topic was created again. To set "
                f"the group's offset to the next record to process, "
                f"{how_to_reset('--to-offset …', self._settings.processor.group_protocol)}"
            )
        if committed.offset < low:
            metrics.PROCESSOR_EXPIRED.labels().inc(low - committed.offset)
            log.error("records expired before they were processed", partition=committed.partition,
                      first=committed.offset, last=low - 1)  # fmt: skip
        return max(committed.offset, low)

    def rewind(self, positions: Mapping[int, int]) -> None:
        """Pause partitions, and read them from these offsets once they are resumed."""
        moved = [TopicPartition(self._topic, partition, offset) for partition, offset in positions.items()]
        with _translate_errors():
            # Unlike `seek`, assigning again drops the fetched records whatever state the fetcher is in.
            self._consumer.incremental_unassign(moved)
            self._consumer.incremental_assign(moved)
            self._consumer.pause(moved)

    def pause(self, partitions: Collection[int]) -> None:
        """Keep `poll` from returning records of these partitions."""
        with _translate_errors():
            self._consumer.pause([TopicPartition(self._topic, partition) for partition in partitions])

    def resume(self, partitions: Collection[int]) -> None:
        """Continue to read these partitions."""
        with _translate_errors():
            self._consumer.resume([TopicPartition(self._topic, partition) for partition in partitions])

    def group_metadata(self) -> Any:
        """Return librdkafka's handle of this member's current identity in the group."""
        with _translate_errors():
            return self._consumer.consumer_group_metadata()

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the next offset that `poll` would read of each partition."""
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        with _translate_errors():
            return {tp.partition: tp.offset for tp in self._consumer.position(asked) if tp.offset >= 0}

    def lag(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the number of records of each partition that `poll` has not returned yet."""
        behind = {}
        asking = True
        with _translate_errors():
            for tp in self._consumer.position([TopicPartition(self._topic, partition) for partition in partitions]):
                _, end = self._consumer.get_watermark_offsets(tp, cached=True)
                if tp.offset >= 0 and end > tp.offset and asking:
                    # The cached end, which comes with records, is the high watermark; the broker's answer to a query is
                    # the last stable offset.
                    try:
                        _, end = self._consumer.get_watermark_offsets(tp, timeout=LAG_TIMEOUT_S)
                    except KafkaException:
                        asking = False  # a slow broker must not delay processing
                if tp.offset >= 0 and end >= 0:
                    behind[tp.partition] = max(0, end - tp.offset)
        return behind

    def close(self) -> None:
        """Close the consumer. Others get its partitions after the session timeout, unless it restarts first."""
        self._consumer.close()

    def _subscribe(self) -> None:
        """Subscribe; if the subscription's text changed, even with equal meaning, librdkafka joins the group again."""
        subscription = f"^{re.escape(self._topic)}$" if self._as_pattern else self._topic
        self._consumer.subscribe([subscription], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _fatal_error(self, error: KafkaError) -> Exception | None:
        """Return the exception to raise for an error that `poll` gave, or None if librdkafka recovers by itself."""
        code = error.code()
        if code == KafkaError._FATAL:
            code = next((cause for text, cause in _FATAL_CAUSES.items() if text in error.str()), code)
        if code == KafkaError.FENCED_INSTANCE_ID:
            return InstanceFencedError(error.str())
        if code == KafkaError.UNRELEASED_INSTANCE_ID:
            return InstanceInUseError(error.str())
        if code in _UNSUPPORTED and self._brokers_assign:
            return no_group_protocol(self._settings, error.str())
        if code in AUTHORIZATION_ERRORS:
            return access_denied(self._settings, error, f"read {self._topic}")
        if error.fatal() or code == KafkaError._FATAL or code in _OUT_OF_RANGE:
            return ClientUnusableError(error.name())
        return None

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        positions = self.committed([tp.partition for tp in partitions])
        consumer.incremental_assign([TopicPartition(self._topic, p, offset) for p, offset in positions.items()])
        consumer.pause(partitions)
        self.is_member = True
        self._listener.assigned(positions)
        if self._unassigned is not None:
            self._unassigned.schedule()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._listener.revoked(self._drop_buffered(partitions))
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._leave()
        self._listener.lost(self._drop_buffered(partitions))
        consumer.incremental_unassign(partitions)

    def _has_joined(self) -> bool:
        """Return whether brokers have taken this member in, as far as `_assigned` will not say so.

        With the group protocol `consumer`, librdkafka calls nothing for a member that gets no partitions; its identity
        changes as brokers give it an epoch. A partition that came with the epoch is served by the next `consume`. The
        identity of a member that was refused changes as well: it is about to try again, with epoch 0.
        """
        if not self._brokers_assign:
            return False
        identity = self._consumer.consumer_group_metadata()
        return identity != self._outside and _member_epoch(identity) > 0

    def _leave(self) -> None:
        self.is_member = False
        with suppress(KafkaException):
            self._outside = self._consumer.consumer_group_metadata()

    def _drop_buffered(self, partitions: list[TopicPartition]) -> Sequence[int]:
        """Drop buffered records of partitions that are going away, and return their numbers.

        If a partition comes back within the same poll, another member may have processed these records meanwhile.
        """
        gone = [tp.partition for tp in partitions]
        self._buffered = [record for record in self._buffered if record.partition not in gone]
        return gone


def check_group_protocol(settings: Settings) -> None:
    """Raise ConfigurationError if brokers tell that they lack the group protocol `consumer` and it is set.

    With brokers before Kafka 4.0, librdkafka waits to join for ever and says nothing.
    """
    if settings.processor.group_protocol is GroupProtocol.CLASSIC:
        return
    admin = KafkaAdmin(settings)
    told, _ = admin.describe_configs(
        ResourceType.BROKER, [str(broker) for broker in list(admin.metadata().brokers)[:1]]
    )
    for config in told.values():
        offered = config.get("group.coordinator.rebalance.protocols")
        before_4 = config.get("inter.broker.protocol.version")  # Kafka 4.0 took it away
        if offered is not None and "consumer" not in offered.split(","):
            raise no_group_protocol(settings, f"group.coordinator.rebalance.protocols is {offered}")
        if offered is None and before_4 is not None:
            raise no_group_protocol(settings, f"inter.broker.protocol.version is {before_4}")


def no_group_protocol(settings: Settings, detail: str) -> ConfigurationError:
    """Return the error for brokers without the group protocol `consumer`."""
    return ConfigurationError(
        f"Kafka at {settings.kafka.bootstrap_servers} does not have the group protocol consumer ({detail})",
        "set processor.group_protocol to classic; consumer takes Kafka 4.0 or later, with the feature group.version "
        "at 1",
    )


def _classic(processor: ProcessorSettings) -> dict[str, object]:
    """Return the properties that librdkafka takes with the group protocol `classic` only."""
    return {
        "session.timeout.ms": processor.session_timeout_ms,
        "partition.assignment.strategy": "cooperative-sticky",
    }


def _member_epoch(identity: bytes) -> int:
    """Return the epoch of a member's identity, whose 4 bytes come after `CGMDv2:`; below 1 outside the group.

    https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_cgrp.c (rd_kafka_consumer_group_metadata_write)
    """
    return int.from_bytes(identity[7:11], sys.byteorder, signed=True)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Turn KafkaException into ClientUnusableError.

    librdkafka raises errors of the client; errors of a single fetch come as messages instead.
    """
    try:
        yield
    except KafkaException as error:
        raise ClientUnusableError(error.args[0].name()) from error
