"""A rebalance listener that remembers the partitions of its member."""

from collections.abc import Mapping, Sequence


class Share:
    """What one member has."""

    def __init__(self) -> None:
        self.partitions: set[int] = set()

    def assigned(self, positions: Mapping[int, int]) -> None:
        self.partitions |= positions.keys()

    def revoked(self, partitions: Sequence[int]) -> None:
        self.partitions -= set(partitions)

    lost = revoked
