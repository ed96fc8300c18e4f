"""The throttle of a replay, by a clock of the test's own."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.replay import write as module
from sternpost.operations.replay.replay_pipeline import ReplayBatch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Range:
    """Stands for a pipeline: records that pass no filter, as many a batch as are asked for."""

    def __init__(self, records: int) -> None:
        self._records = records
        self.largest = 0

    def batches(self, most: int) -> Iterator[ReplayBatch]:
        self.largest = min(most, self._records)
        for done in range(0, self._records, most):
            count = min(most, self._records - done)
            yield ReplayBatch([], count, {0: done + count})


class Nowhere:
    """Stands for the producer and the checkpoint."""

    group_metadata = None

    @contextmanager
    def transaction(self, *_: Any) -> Iterator[None]:
        yield

    def offsets(self, _: Any) -> list[Any]:
        return []

    def ends(self) -> dict[int, int]:
        return {}


@given(st.floats(0.5, 20_000), st.integers(1, 30_000))
def test_no_more_records_a_second_than_asked_for(rate: float, records: int) -> None:
    clock, of, nowhere = Clock(), Range(min(records, int(rate * 60) + 1)), Nowhere()
    done: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        patch.setattr(module, "check_retained", lambda *_: None)
        module.write(
            Settings(),
            ChangesAllowed(),
            "topic",
            of,  # type: ignore[arg-type]
            [OffsetRange(0, 0, records)],
            nowhere,  # type: ignore[arg-type]
            nowhere,  # type: ignore[arg-type]
            rate=rate,
            interrupted=threading.Event(),
            on_done=done.append,
        )
    assert sum(done) / rate <= clock.now + 1e-6
    assert clock.now <= sum(done) / rate + 0.2
    assert of.largest <= max(1, rate / 2), "a batch is half a second's, so that others get their turn"


def test_a_gap_is_looked_into_before_anything_behind_it_counts_as_done() -> None:
    class WithAGap:
        def batches(self, _: int) -> Iterator[ReplayBatch]:
            yield ReplayBatch([], 10, {0: 10})
            yield ReplayBatch([], 10, {0: 20})
            yield ReplayBatch([], 5, {0: 50})

    looked_from: list[int] = []

    def look(_: Settings, ranges: Collection[OffsetRange]) -> None:
        looked_from.extend(offset_range.start for offset_range in ranges)

    nowhere = Nowhere()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "check_retained", look)
        module.write(
            Settings(),
            ChangesAllowed(),
            "topic",
            WithAGap(),  # type: ignore[arg-type]
            [OffsetRange(0, 0, 60)],
            nowhere,  # type: ignore[arg-type]
            nowhere,  # type: ignore[arg-type]
            rate=None,
            interrupted=threading.Event(),
            on_done=lambda _: None,
        )
    assert looked_from == [0, 20, 50], "at the beginning, before the gap and before the end"
