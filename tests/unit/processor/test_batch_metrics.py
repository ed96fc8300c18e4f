"""What a committed batch counts for."""

from collections import Counter

from processor.batch_metrics import BatchMetrics
from processor.pipeline.records import DeadLetter, Duplicate, Event, Outcome
from schemas.error_codes import ErrorCode, Stage
from tests.support.raw_records import raw

DEAD = DeadLetter(ErrorCode.MISSING_IDENTITY, Stage.MAP, None, "")


def test_a_batch_is_tallied_by_kind_code_and_source() -> None:
    outcomes: list[Outcome] = [Event(b"", b"", None), Duplicate(0), Duplicate(0), DEAD, DEAD]
    records = [raw(source=source) for source in ("shop", "shop", "shop", "shop", "blog")]
    tally = BatchMetrics(["shop", "blog"]).tally(records, outcomes)
    assert tally == (5, 1, 2, Counter({("missing_identity", "shop"): 1, ("missing_identity", "blog"): 1}))


def test_names_that_anyone_may_invent_make_no_series_of_their_own() -> None:
    records = [
        *(raw(source=f"invented-{number}") for number in range(100)),
        raw(headers=[("source", b"\xff")]),
        raw(headers=[("source", None)]),
        raw(headers=[]),
    ]
    tally = BatchMetrics(["shop"]).tally(records, [DEAD] * 103)
    assert tally.dead_letters == {("missing_identity", "other"): 101, ("missing_identity", "default"): 2}
