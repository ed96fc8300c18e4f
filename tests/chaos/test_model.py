"""The model of the transactional loop with more faults than the quick tests in tests/model allow."""

from tests.model.transactional_loop import Bounds, Rules, explore


def test_with_two_crashes_each_event_is_there_once_and_in_order() -> None:
    found = explore(Rules(), Bounds(crashes=2))
    assert found.trace is None, "\n".join(found.trace or ())
    assert found.states > 100_000
