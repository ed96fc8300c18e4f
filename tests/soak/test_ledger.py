"""The judge of a soak finds what is lost, doubled, out of order or altered."""

from collections.abc import Callable

import pytest

from tests.soak.events import PEOPLE, broken, next_whole
from tests.soak.ledger import DeadLetters, Events

PERSON = 1
SENT = [0, 150, *[0] * (PEOPLE - 2)]
WHOLE = [number for number in range(150) if not broken(PERSON, number)]
BROKEN = [number for number in range(150) if broken(PERSON, number)]


def events(numbers: list[int], *, from_the_first: bool = True) -> Events:
    ledger = Events(from_the_first=from_the_first)
    for number in numbers:
        ledger.see(PERSON, number, 0, whole=True)
    return ledger


def letters(numbers: list[int]) -> DeadLetters:
    ledger = DeadLetters()
    for number in numbers:
        ledger.see(PERSON, number, whole=True)
    return ledger


def test_what_was_sent_is_all_well() -> None:
    assert BROKEN == [69]
    assert next_whole(PERSON, 69) == 70
    for ledger in (events(WHOLE), letters(BROKEN), events(WHOLE[20:], from_the_first=False)):
        assert (ledger.faults, ledger.missing(SENT)) == ([], [])


@pytest.mark.parametrize(
    "changed",
    [
        lambda numbers: [*numbers[:10], *numbers[11:]],
        lambda numbers: [*numbers[:10], numbers[9], *numbers[10:]],
        lambda numbers: [*numbers[:10], numbers[11], numbers[10], *numbers[12:]],
        lambda numbers: [*numbers, 3],
        lambda numbers: numbers[1:],
        lambda numbers: [*numbers[:69], 69, *numbers[69:]],
    ],
    ids=["lost", "twice", "swapped", "again much later", "the first lost", "a broken one"],
)
def test_an_event_out_of_place_is_a_fault(changed: Callable[[list[int]], list[int]]) -> None:
    assert events(changed(WHOLE)).faults.total


def test_the_last_event_lost_is_missing() -> None:
    assert events(WHOLE[:-1]).missing(SENT) == ["events 1-149 to 1-149"]
    assert events(WHOLE[:-1]).faults == []


def test_a_reader_that_sees_nothing_misses_everything() -> None:
    assert events([], from_the_first=False).missing(SENT) == ["events 1-? to 1-149"]


def test_an_altered_event_and_one_in_another_partition_are_faults() -> None:
    ledger = events(WHOLE[:2])
    ledger.see(PERSON, WHOLE[2], 0, whole=False)
    ledger.see(PERSON, WHOLE[3], 1, whole=True)
    assert ledger.faults == [
        "event 1-2 is not what was sent",
        "event 1-3 is in partition 1, those before it in 0",
    ]


def test_dead_letters_lost_doubled_altered_or_without_cause_are_found() -> None:
    assert letters([]).missing(SENT) == ["dead letter 1-69"]
    assert letters([69, 69]).faults == ["dead letter 1-69 came again"]
    assert letters([70]).faults == ["dead letter 1-70 was a whole event"]
    ledger = DeadLetters()
    ledger.see(PERSON, 69, whole=False)
    assert ledger.faults == ["dead letter 1-69 is not what was sent"]
