"""The judge of the fault tests sees what it is there to see."""

import pytest

from tests.chaos.oracle import Witness

Seen = tuple[str, str, int, int, int]
"""Event id, person, number, partition, offset."""

GOOD: list[Seen] = [("x-0", "x", 0, 0, 0), ("y-0", "y", 0, 1, 0), ("x-1", "x", 1, 0, 2), ("x-3", "x", 3, 0, 3)]


def witness(seen: list[Seen]) -> Witness:
    witness = Witness()
    for one in seen:
        witness.see(*one)
    return witness


def test_each_event_once_and_in_order_is_well_and_so_is_a_place_read_twice() -> None:
    found = witness([*GOOD, GOOD[-1]])
    assert found.faults == []
    assert found.vanished({(0, 0), (0, 2), (0, 3), (1, 0)}) == []


@pytest.mark.parametrize(
    "wrong",
    [("x-0", "x", 0, 0, 4), ("x-2", "x", 2, 0, 4), ("x-4", "x", 4, 1, 1)],
    ids=["twice", "after a later one", "in another partition"],
)
def test_what_no_sink_must_see_is_named(wrong: Seen) -> None:
    (fault,) = witness([*GOOD, wrong]).faults
    assert fault.startswith(f"{wrong[0]} at ")


def test_an_event_that_was_seen_and_is_gone_has_vanished() -> None:
    assert witness(GOOD).vanished({(0, 0), (0, 2), (1, 0)}) == ["x-3 from (0, 3)"]
