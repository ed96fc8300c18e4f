"""The metadata of a replay's committed offsets, which anybody may set who may commit for its group."""

from contextlib import suppress
from typing import Any
from unittest import mock

from confluent_kafka import TopicPartition

from runtime.errors import DependencyError
from runtime.settings.model import Settings
from sternpost.operations.replay import checkpoint
from tests.fuzz.taker import Taker, piece

SEEDS = [
    bytes([at]) + piece(metadata) for at, metadata in enumerate([b"17", b"", b"-1", "١".encode(), b"x", b"9" * 30])
]


def check(data: bytes) -> None:
    taker = Taker(data)
    found: dict[int, Any] = {0: TopicPartition("raw", 0, taker.number(256), taker.text().replace("\0", ""))}
    with mock.patch.object(checkpoint, "GroupOffsets") as group:
        group.return_value.committed.return_value = found
        kept = checkpoint.ReplayCheckpoint(Settings(), "name")
        with suppress(DependencyError):
            (offset_range,) = kept.find([0]) or []
            assert (offset_range.partition, offset_range.start) == (0, found[0].offset)
            assert -1 <= offset_range.end < 2**63
            assert kept.offsets({0: 1})[0].metadata == str(offset_range.end)
