"""What the loop asks of the world outside: where records come from, where outcomes go, and how either can fail.

Kafka's side of it is in group_consumer.py, transaction_sink.py and deduplication/restore_consumer.py; what can go
wrong (TransactionAbortedError, ClientUnusableError, InstanceFencedError) is in runtime/errors.py. Tests run the loop on
one in memory (tests/support/fake_kafka.py).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from processor.pipeline.records import Outcome, RawRecord


class RebalanceListener(Protocol):
    """Told of changes of what is assigned, within `poll` and `close` of a source, and nowhere else."""

    def assigned(self, positions: Mapping[int, int]) -> None:
        """More partitions, each with the next offset to read. They are paused."""
        ...

    def revoked(self, partitions: Sequence[int]) -> None:
        """Partitions that are to be given up; until this returns, a transaction with their offsets can be committed."""
        ...

    def lost(self, partitions: Sequence[int]) -> None:
        """Partitions that are others' already."""
        ...


class GroupConsumer(Protocol):
    """A member of the consumer group. For one thread."""

    @property
    def is_member(self) -> bool:
        """Whether the group has given this member its share, which may be nothing."""
        ...

    def poll(self, timeout_s: float, gather: Callable[[], bool]) -> list[RawRecord]:
        """The next records, at most a batch, in order within each partition; as soon as there is one, unless `gather`
        says that more can be waited for.

        Raises ClientUnusableError, InstanceFencedError, and what the listener raises.
        """
        ...

    def committed(self, partitions: Collection[int]) -> dict[int, int]:
        """The next offset to read of each: the group's, or the topic's first. Waits for transactions that are being
        ended. Raises ClientUnusableError, and Halted where the topic ends before that offset."""
        ...

    def has_offset(self, partition: int) -> bool:
        """Whether the group had an offset when `committed` asked for it last."""
        ...

    def rewind(self, positions: Mapping[int, int]) -> None:
        """Pauses partitions, and has them read from these offsets when they are resumed."""
        ...

    def pause(self, partitions: Collection[int]) -> None:
        """Nothing more of these comes out of `poll`, what was fetched of them included."""
        ...

    def resume(self, partitions: Collection[int]) -> None:
        """These go on from where `poll` left off, or `rewind` set them."""
        ...

    def group_metadata(self) -> Any:
        """Who this member is in the group now; to be fetched anew for each transaction."""
        ...

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """The next offset that `poll` would read of each: past what it returned, and past the transaction markers and
        aborted records behind that. Partitions that `poll` has not come to since they were assigned or rewound may be
        missing. Raises ClientUnusableError."""
        ...

    def lag(self, partitions: Collection[int]) -> dict[int, int]:
        """Records of each partition between what was polled and the last stable offset, as last heard."""
        ...

    def close(self) -> None: ...


class TransactionSink(Protocol):
    """A transactional producer. For one thread at a time, but for `close`: what is overdue is not waited for."""

    def write(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        """Events and dead letters into the transaction, which begins if none is open.

        Raises TransactionAbortedError or ClientUnusableError.
        """
        ...

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        """Commits what was written, and with it the group's next offset to read of each partition.

        Raises TransactionAbortedError or ClientUnusableError; it is then unknown whether the transaction took place,
        until `abort` returned.
        """
        ...

    @property
    def overdue(self) -> bool:
        """Whether `commit` is in a call that should have returned long ago. For any thread."""
        ...

    def abort(self) -> None:
        """Ends the open transaction, if there is one: after it, the committed offsets tell what took place.

        Raises ClientUnusableError.
        """
        ...

    def close(self) -> None:
        """Aborts what is open, as far as the brokers can be reached."""
        ...


class RestoreConsumer(Protocol):
    """Reads partitions of the raw topic again, outside of the group. For one thread."""

    def start(self, partition: int, known_up_to: int, position: int) -> int:
        """Starts to read what a state that knows all before `known_up_to` has to know at `position`: what is dated
        less than a window before the record there. Gives the first offset of it. Raises ClientUnusableError."""
        ...

    def read(self, timeout_s: float) -> tuple[list[RawRecord], list[int]]:
        """Some records, and the partitions that are now read up to their position. Raises ClientUnusableError."""
        ...

    def stop(self, partition: int) -> None:
        """Stops reading a partition, if it is being read."""
        ...

    def close(self) -> None: ...
