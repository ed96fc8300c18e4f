"""The limit on dead letters by our own fault."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.pipeline.pipeline import DeadLetterLimit
from processor.pipeline.records import DeadLetter, Duplicate, Event, Outcome, RawRecord
from runtime.errors import ProcessorHaltedError
from schemas.error_codes import ErrorCode, Stage
from tests.support.raw_records import raw

Processed = tuple[RawRecord, Outcome]


def dead(code: ErrorCode, attempt: int = 0) -> Processed:
    return raw(attempt=attempt), DeadLetter(code, Stage.MAP, None, "")


GOOD: Processed = raw(), Event(b"", b"", None)
DUPLICATE: Processed = raw(), Duplicate(0)
OURS = [dead(ErrorCode.INTERNAL_ERROR), dead(ErrorCode.UNENCODABLE)]
OTHERS = [
    DUPLICATE,
    *(dead(code) for code in ErrorCode if code not in (ErrorCode.INTERNAL_ERROR, ErrorCode.UNENCODABLE)),
    *(dead(code, attempt=1) for code in ErrorCode),
]


def trips(ratio: float, window: int, batches: Sequence[Sequence[Processed]]) -> int | None:
    """Return the number of the batch that exceeds the limit."""
    limit = DeadLetterLimit(ratio, window)
    for number, batch in enumerate(batches):
        records, outcomes = [record for record, _ in batch], [outcome for _, outcome in batch]
        try:
            limit.check(records, outcomes)
            limit.check(records, outcomes)  # again, after an abort
            limit.committed()
        except ProcessorHaltedError:
            return number
    return None


@given(
    st.floats(0.01, 1),
    st.integers(1, 20),
    st.lists(st.lists(st.sampled_from([GOOD, GOOD, *OURS, *OURS, *OTHERS]), max_size=15), max_size=15),
)
def test_it_trips_with_the_batch_in_which_the_share_is_passed(
    ratio: float, window: int, batches: list[list[Processed]]
) -> None:
    failed: list[bool] = []
    expected = None
    for number, batch in enumerate(batches):
        for processed in batch:
            if processed not in OTHERS:
                failed.append(processed in OURS)
                if failed[-1] and len(failed) >= window and sum(failed[-window:]) > ratio * window and expected is None:
                    expected = number
    assert trips(ratio, window, batches) == expected


@pytest.mark.parametrize("processed", OTHERS, ids=lambda processed: str(processed[1]))
def test_what_is_no_fault_of_ours_neither_trips_it_nor_hides_one(processed: Processed) -> None:
    assert trips(0.1, 10, [[processed] * 1000]) is None
    assert trips(0.5, 10, [[GOOD] * 4, [processed] * 1000, [OURS[0]] * 6]) == 2


def test_fewer_records_than_the_window_never_trip_it() -> None:
    assert trips(0.1, 100, [OURS[:1] * 99]) is None
    assert trips(0.1, 100, [OURS[:1] * 99, OURS[:1]]) == 1


def test_a_ratio_of_one_never_trips() -> None:
    assert trips(1.0, 10, [OURS * 1000]) is None


@pytest.mark.parametrize("attempt", [b"", b"none", b"-1", b"0", b"\xff"])
def test_a_header_that_is_no_attempt_hides_nothing(attempt: bytes) -> None:
    record, outcome = OURS[0]
    assert trips(0.5, 2, [[(record.replace(headers=[("attempt", attempt)]), outcome)] * 2]) == 0


def test_it_says_what_to_do() -> None:
    records, outcomes = zip(*OURS, strict=True)
    with pytest.raises(ProcessorHaltedError, match=r"dead_letter_limit_ratio.*replay --from 1h --dry-run") as caught:
        DeadLetterLimit(0.5, 2).check(records, outcomes)
    assert caught.value.exit_code == 70
