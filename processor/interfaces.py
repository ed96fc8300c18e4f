"""What the stream processor needs: where records come from, where outcomes go, how either can fail, and its worker.

group_consumer.py, transaction_sink.py and deduplication/state_restore.py implement these interfaces on Kafka. Tests
run the stream processor on an implementation in memory (tests/support/fake_kafka.py). Both keep one contract
(tests/contract). The exceptions are in runtime/errors.py.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event as Signal
from typing import Any, Protocol

from processor.deduplication.deduplicator import StateStore
from processor.pipeline.records import Outcome, RawRecord

OpenState = Callable[[int, int, bool], StateStore]
"""Opens the state of a partition, complete up to an offset at most. The flag says whether the group has committed that
offset; otherwise it is only where reading begins."""


class RebalanceListener(Protocol):
    """Is told about changes of the assignment, within `poll` and `close` of a `GroupConsumer` and nowhere else."""

    def assigned(self, positions: Mapping[int, int]) -> None:
        """Take on additional partitions, given with the next offset to read. They are paused."""
        ...

    def revoked(self, partitions: Sequence[int]) -> None:
        """Give partitions up. Until this returns, a transaction with their offsets can be committed."""
        ...

    def lost(self, partitions: Sequence[int]) -> None:
        """Drop partitions that other members may already have."""
        ...


class GroupConsumer(Protocol):
    """A member of the consumer group. For one thread."""

    @property
    def is_member(self) -> bool:
        """Whether the group has given this member its assignment, which may be empty."""
        ...

    def poll(self, timeout_s: float, may_wait: Callable[[], bool]) -> list[RawRecord]:
        """Return the next records, at most a batch, in order within each partition.

        Returns as soon as there is a record, unless `may_wait` says that there is time to wait for more.

        Raises ClientUnusableError, InstanceFencedError, InstanceInUseError, ConfigurationError, DependencyError, and
        what the listener raises.
        """
        ...

    def committed(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the next offset to read of each partition: the committed one, otherwise the first in the topic.

        Waits for transactions that are being ended. Raises ClientUnusableError, and ProcessorHaltedError if the topic
        ends before the committed offset.
        """
        ...

    def has_offset(self, partition: int) -> bool:
        """Return whether the group had committed an offset when `committed` last asked."""
        ...

    def rewind(self, positions: Mapping[int, int]) -> None:
        """Pause partitions, and read them from these offsets once they are resumed."""
        ...

    def pause(self, partitions: Collection[int]) -> None:
        """Keep `poll` from returning records of these partitions, including records already fetched."""
        ...

    def resume(self, partitions: Collection[int]) -> None:
        """Continue where `poll` stopped, or where `rewind` went."""
        ...

    def group_metadata(self) -> Any:
        """Return this member's current identity in the group; fetch it again for each transaction."""
        ...

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the next offset that `poll` would read of each partition.

        It lies past the records returned so far and past the transaction markers and aborted records that follow them.
        A partition may be missing if `poll` has not reached it since it was assigned or rewound. Raises
        ClientUnusableError.
        """
        ...

    def lag(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the number of records of each partition from the position of `poll` to the last stable offset."""
        ...

    def close(self) -> None:
        """Stop reading. Calls the listener's `revoked`."""
        ...


class TransactionSink(Protocol):
    """A transactional producer. For one thread at a time, except `overdue` and `close`."""

    def write(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        """Write events and dead letters into the transaction; begin one if none is open.

        Raises TransactionAbortedError and ClientUnusableError.
        """
        ...

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        """Commit what was written together with the group's next offset of each partition.

        Raises TransactionAbortedError and ClientUnusableError. It is then unknown until `abort` returns whether the
        transaction took place.
        """
        ...

    @property
    def overdue(self) -> bool:
        """Whether `commit` is in a call that should have returned long ago. For any thread."""
        ...

    def abort(self) -> None:
        """End the open transaction, if there is one. From then on the committed offsets tell what took place.

        Raises ClientUnusableError.
        """
        ...

    def close(self) -> None:
        """Abort the open transaction if the brokers can be reached. Does not wait for a call that is overdue."""
        ...


class RestoreConsumer(Protocol):
    """Reads partitions of the raw topic again, outside the group, to restore state. For one thread."""

    def start(self, partition: int, known_up_to: int, position: int) -> int:
        """Start reading the records needed to restore a partition's state from `known_up_to` to `position`.

        Records older than the deduplication window, counted from the record at `position`, are skipped. Returns the
        first offset that will be read. Raises ClientUnusableError.
        """
        ...

    def read(self, timeout_s: float) -> tuple[list[RawRecord], list[int]]:
        """Return some records, and the partitions that have now been read up to their position.

        Raises ClientUnusableError.
        """
        ...

    def stop(self, partition: int) -> None:
        """Stop reading a partition, if it is being read."""
        ...

    def close(self) -> None:
        """Stop reading all partitions and disconnect."""
        ...


class WorkerHandle(Protocol):
    """The part of `runtime.supervisor.Worker` that the stream processor uses."""

    stopping: Signal

    def ready(self, ready: bool, reason: str = "") -> None:
        """Report whether the worker is ready, and if not, why."""
        ...

    def beat(self) -> None:
        """Report that the worker is alive."""
        ...
