"""A batch: duplicates apart, and one outcome for each record."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processor.pipeline.pipeline import SLICE, BatchProcessor, Pipeline, build_pipeline
from processor.pipeline.records import DeadLetter, Duplicate, Event, RawRecord, identify
from tests.support.raw_records import payload, raw


class Known:
    """A `DuplicateIndex` with given keys that records its calls."""

    def __init__(self, offsets: dict[bytes, int] | None = None) -> None:
        self.offsets = offsets or {}
        self.asked: list[bytes] = []

    def find_duplicates(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        del records
        self.asked += keys
        return [self.offsets.get(key) for key in keys]


def core(seen: Known | None = None) -> BatchProcessor:
    return BatchProcessor(seen or Known(), build_pipeline("rudderstack"))


def test_a_duplicate_is_neither_mapped_nor_encoded() -> None:
    record = raw(9)
    seen = Known({identify(record).key: 4})

    class Unused:
        def row(self, *_: object) -> list[Any]:
            raise AssertionError

    unused = Pipeline(Unused(), lambda _: b"", 7, None)
    assert BatchProcessor(seen, unused)([record]) == [Duplicate(4)]


def test_every_record_is_asked_for_once_and_in_order() -> None:
    seen, records = Known(), [raw(offset) for offset in range(2 * SLICE + 5)]
    outcomes = core(seen)(records)
    assert seen.asked == [identify(record).key for record in records]
    assert [outcome.value for outcome in outcomes if isinstance(outcome, Event)] == [
        outcome.value for record in records for outcome in core()([record]) if isinstance(outcome, Event)
    ]
    assert len(outcomes) == len(records)


@given(
    st.lists(
        st.builds(
            RawRecord,
            st.just("raw"),
            st.integers(0, 3),
            st.integers(0, 2**40),
            st.integers(-1, 2**45),
            st.one_of(st.none(), st.binary(max_size=8)),
            st.one_of(st.none(), st.binary(max_size=50), st.just(payload())),
            st.lists(st.tuples(st.sampled_from(["event_id", "received_at", "x"]), st.binary(max_size=20))),
        ),
        max_size=20,
    )
)
def test_any_batch_gives_one_outcome_each_and_the_same_again(records: list[RawRecord]) -> None:
    outcomes = core()(records)
    assert len(outcomes) == len(records)
    assert all(isinstance(outcome, Event | DeadLetter) for outcome in outcomes)
    assert outcomes == core()(records)
