import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dead_letter_limit import DeadLetterLimit
from processor.records import DeadLetter, Event, Outcome
from runtime.errors import Halted
from schemas.rejection import ErrorCode, Stage

GOOD: Outcome = Event(b"", b"", [], 0)
DEAD: Outcome = DeadLetter(ErrorCode.MALFORMED_JSON, Stage.PARSE, None, "no JSON")


def trips(ratio: float, window: int, batches: list[list[Outcome]]) -> int | None:
    """The batch that trips it."""
    limit = DeadLetterLimit(ratio, window)
    for number, batch in enumerate(batches):
        try:
            limit.check(batch)
            limit.check(batch)  # again, after an abort
            limit.committed(batch)
        except Halted:
            return number
    return None


@given(
    st.floats(0.01, 1),
    st.integers(1, 20),
    st.lists(st.lists(st.sampled_from([GOOD, DEAD]), max_size=15), max_size=15),
)
def test_it_trips_with_the_batch_in_which_the_share_is_passed(
    ratio: float, window: int, batches: list[list[Outcome]]
) -> None:
    seen: list[bool] = []
    expected = None
    for number, batch in enumerate(batches):
        for outcome in batch:
            seen.append(outcome is DEAD)
            if len(seen) >= window and sum(seen[-window:]) > ratio * window and seen[-1] and expected is None:
                expected = number
    assert trips(ratio, window, batches) == expected


def test_fewer_records_than_the_window_never_trip_it() -> None:
    assert trips(0.1, 100, [[DEAD] * 99]) is None
    assert trips(0.1, 100, [[DEAD] * 99, [DEAD]]) == 1


def test_a_ratio_of_one_never_trips() -> None:
    assert trips(1.0, 10, [[DEAD] * 1000]) is None


def test_it_says_what_to_do() -> None:
    with pytest.raises(Halted, match=r"dead_letter_limit_ratio.*replay --from 1h --dry-run") as caught:
        DeadLetterLimit(0.5, 2).check([DEAD, DEAD])
    assert caught.value.exit_code == 70
