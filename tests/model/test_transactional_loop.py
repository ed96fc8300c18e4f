"""The rules of the transactional loop suffice, and each of them is needed: every order of steps is tried."""

from dataclasses import replace

import pytest

from tests.model.transactional_loop import Rules, explore, without


def test_with_all_rules_each_event_is_there_once_and_in_order() -> None:
    found = explore(Rules())
    assert found.trace is None, "\n".join(found.trace or ())
    assert found.reached_end
    assert found.states > 10_000


@pytest.mark.parametrize(
    ("missing", "last"),
    [
        (("producer_fences",), "a reader sees a, a"),
        (("stable_offsets",), "a reader sees a, a"),
        (("offsets_in_transaction",), "a reader sees a, a"),
        (("membership_checked",), "a reader sees a, a"),
        (("rewinds_after_abort",), "a reader sees b"),
        (("replaces_after_doubt",), "a reader sees a, b, b"),
        (("state_restored",), "a reader sees a, b, a"),
        (("knows_its_own_batch",), "a reader sees a, b, a"),
        # Either of these two makes up for the other.
        (("state_after_commit", "state_never_ahead"), "the offset 1 is committed, and a is missing"),
    ],
)
def test_without_a_rule_there_is_a_way_to_break_the_guarantee(missing: tuple[str, ...], last: str) -> None:
    found = explore(without(*missing))
    assert found.trace is not None
    assert found.trace[-1] == last, "\n".join(found.trace)


@pytest.mark.parametrize("rule", ["state_after_commit", "state_never_ahead"])
def test_either_rule_for_a_state_that_is_ahead_suffices(rule: str) -> None:
    assert explore(without(rule)).trace is None


def test_what_remains_without_kip_890() -> None:
    """A request to commit that librdkafka sends twice without a word may end the next transaction."""
    found = explore(without("sees_every_resend"))
    assert found.trace is not None
    assert found.trace[-1] == "a reader sees a, b, b"
    again = found.trace.index("0 asks to commit again")
    first, second = (n for n, step in enumerate(found.trace) if step == "the request of 0 to commit arrives")
    assert again < first < found.trace.index("0 processes record 1") < second


def test_a_producer_for_each_transaction_would_close_it() -> None:
    found = explore(replace(without("sees_every_resend"), replaces_always=True))
    assert found.trace is None
    assert found.reached_end
