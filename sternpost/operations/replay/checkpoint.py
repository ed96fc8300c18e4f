"""How far a replay has come: offsets that its transactions commit for a consumer group of its own."""

import hashlib

from runtime.errors import DependencyError, KafkaRequestError
from runtime.kafka.group_offsets import GroupOffsets, TopicPartition
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.record_headers import read_number
from sternpost.operations.changes_allowed import ChangesAllowed, require


def replay_name(settings: Settings, target: str, *parts: str) -> str:
    """Return the name of a replay, which is the same for the same range (as it was written), filters and target.

    It names the consumer group and the transactional id, and starts with the processor's group id and `.replay.`.
    """
    text = "\n".join([settings.topics.raw, target, settings.processor.profile, *parts])
    return f"{settings.processor.group_id}.replay.{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class ReplayCheckpoint:
    """The offsets of one replay.

    The end of each range is kept in the metadata of its offset: a time such as `2h` means another offset later.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._topic = settings.topics.raw
        self._ends: dict[int, int] = {}
        self._group = GroupOffsets(settings, name)

    def close(self) -> None:
        """Close the Kafka client."""
        self._group.close()

    def find(self, partitions: list[int]) -> list[OffsetRange] | None:
        """Return what is left of each range, finished ranges included; None if this replay was never begun.

        Raises DependencyError.
        """
        found = self._group.committed(self._topic, partitions)
        ranges = [OffsetRange(partition, at.offset, self._end(at)) for partition, at in found.items()]
        self._ends = {offset_range.partition: offset_range.end for offset_range in ranges}
        return ranges or None

    def _end(self, committed: TopicPartition) -> int:
        try:
            metadata = committed.metadata or ""
        except UnicodeDecodeError:  # the client decodes it only now
            metadata = "?"
        if metadata in ("", "-1"):
            return -1
        end = read_number(metadata.encode())
        if end is None:
            raise DependencyError(
                f"the offsets of the group {self.name} were not committed by a replay: their metadata is not an offset",
                f"if nothing else uses the group, delete it (kafka-consumer-groups --delete --group {self.name}), and "
                "replay from the beginning",
            )
        return end

    def begin(self, allowed: ChangesAllowed | None, ranges: list[OffsetRange]) -> None:
        """Commit the starts of the ranges, and mark other ranges of an earlier run as done.

        Raises DependencyError and ChangesNotAllowedError.
        """
        require(allowed, "write events again")
        starts = self._ends | {offset_range.partition: offset_range.start for offset_range in ranges}
        self._ends |= {offset_range.partition: offset_range.end for offset_range in ranges}
        try:
            self._group.commit(self.offsets(starts))
        except KafkaRequestError as error:
            raise DependencyError(
                f"the progress of the replay cannot be committed for the group {self.name}: {error.detail}; "
                "`sternpost acls` prints the rights that it needs"
            ) from None

    def offsets(self, next_offsets: dict[int, int]) -> list[TopicPartition]:
        """Return what a transaction commits for the next offset to read of each partition."""
        return [
            TopicPartition(self._topic, partition, offset, metadata=str(self._ends[partition]))
            for partition, offset in next_offsets.items()
        ]

    def ends(self) -> dict[int, int]:
        """Return the end of each partition's range."""
        return dict(self._ends)

    @property
    def group_metadata(self) -> object:
        """The consumer group's metadata, which `send_offsets_to_transaction` takes."""
        return self._group.metadata
