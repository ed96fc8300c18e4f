"""The judge of the fault tests sees what it is there to see."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.expected import dead_letter_of, event_of, raw_parts_of
from tests.chaos.load import Sent, event
from tests.chaos.records import DEAD_LETTERS, EVENTS, RAW, Place, Record
from tests.chaos.verdict import Fault, Verdict, Witness, weigh

WINDOW_MS = 60_000
NOW_MS = 1_700_000_000_000


class World:
    """Three topics in which all is well: two people, a repeat of the first event, and a body that makes no sense.

    The raw topic holds x-0, y-0, x-0 again, x-1 and a broken body in partition 0, one second after the other.
    """

    def __init__(self) -> None:
        rng = random.Random(1)
        x0, y0, x1 = (event(f"{who}-{n}", who, n, False, rng) for who, n in (("x", 0), ("y", 0), ("x", 1)))
        self.broken = event("z-0", "z", 0, True, rng)
        self.acknowledged = [x0, y0, x1, self.broken]
        self.raw = [self._raw(offset, sent) for offset, sent in enumerate((x0, y0, x0, x1, self.broken))]
        self.events = [self.event_of(*pair) for pair in ((0, x0), (1, y0), (3, x1))]
        self.dead_letters = [self.dead_letter_of(self.raw[4])]
        self.witness = Witness()

    def _raw(self, offset: int, sent: Sent) -> Record:
        key, *headers = raw_parts_of(sent).items()
        return Record(RAW, 0, offset, NOW_MS + 1000 * offset, key[1], sent.body, dict(headers))

    def event_of(self, raw_offset: int, sent: Sent) -> tuple[Record, dict[str, Any]]:
        whole: dict[str, Any] = {}
        for name, value in event_of(sent, self.raw[raw_offset]).items():
            if name == "integrations.Customer.io":
                whole["integrations"] = {"Customer.io": value}
            elif name not in ("key", "headers"):
                *path, last = name.split(".")
                into = whole
                for part in path:
                    into = into.setdefault(part, {})
                into[last] = value
        return Record(EVENTS, 1, 10 * raw_offset, NOW_MS, sent.person.encode(), b"", {}), whole

    def dead_letter_of(self, raw: Record, offset: int = 7) -> Record:
        parts = dead_letter_of(raw)
        key, value = parts.pop("key"), parts.pop("value")
        return Record(DEAD_LETTERS, 0, offset, NOW_MS, key, value, {**parts, "error_message": b"for people"})

    def verdict(self, pending: dict[int, int] | None = None) -> Verdict:
        return weigh(self.acknowledged, self.raw, self.events, self.dead_letters, self.witness, WINDOW_MS, pending)


def moved(record: Record, offset: int) -> Record:
    return record._replace(offset=offset)


def not_in_raw(world: World) -> None:
    world.acknowledged.append(event("x-2", "x", 2, False, random.Random(2)))


def no_event(world: World) -> None:
    del world.events[2]


def no_dead_letter(world: World) -> None:
    world.dead_letters.clear()


def an_event_twice(world: World) -> None:
    record, value = world.events[2]
    world.events.append((moved(record, 99), value))


def a_dead_letter_twice(world: World) -> None:
    world.dead_letters.append(world.dead_letter_of(world.raw[4], 8))


def an_event_of_a_duplicate_as_well(world: World) -> None:
    world.events.insert(2, world.event_of(2, world.acknowledged[0]))


def an_event_of_the_duplicate_alone(world: World) -> None:
    world.events[:2] = [world.events[1], world.event_of(2, world.acknowledged[0])]


def no_event_after_the_window(world: World) -> None:
    world.raw.append(world.raw[2]._replace(offset=5, timestamp_ms=world.raw[2].timestamp_ms + WINDOW_MS))


def a_duplicate_in_another_partition(world: World) -> None:
    world.raw.append(world.raw[2]._replace(partition=1))
    world.events.append(world.event_of(0, world.acknowledged[0]))


def an_event_of_no_raw_record(world: World) -> None:
    world.events[2][1]["context"]["origin"]["offset"] = 77


def a_body_that_nobody_sent(world: World) -> None:
    world.acknowledged.pop(1)


def a_later_event_first(world: World) -> None:
    world.events.reverse()


def another_partition(world: World) -> None:
    record, value = world.events[2]
    world.events[2] = (record._replace(partition=2), value)


def raw_out_of_order(world: World) -> None:
    x1 = world.raw[3]
    world.raw = [moved(record, n) for n, record in enumerate([x1, world.raw[1], world.raw[0], *world.raw[3:]])]


def another_subject(world: World) -> None:
    world.events[0][1]["properties"]["emailSubject"] += "?"


def a_field_too_many(world: World) -> None:
    world.events[0][1]["properties"]["reason"] = "none"


def another_key(world: World) -> None:
    record, value = world.events[0]
    world.events[0] = (record._replace(key=b"other"), value)


def another_raw_key(world: World) -> None:
    world.raw[0] = world.raw[0]._replace(key=b"other")


def another_source(world: World) -> None:
    world.raw[1].headers["source"] = b"other"


def a_dead_letter_of_a_whole_body(world: World) -> None:
    del world.events[2]
    world.dead_letters.append(world.dead_letter_of(world.raw[3], 8))


def a_dead_letter_without_a_header(world: World) -> None:
    del world.dead_letters[0].headers["event_id"]


def a_dead_letter_cut_short(world: World) -> None:
    world.dead_letters[0] = world.dead_letters[0]._replace(value=world.broken.body[:-1])


def an_event_seen_before(world: World) -> None:
    world.witness.see_event("x-1", "x", 1, (EVENTS, 1, 29))


def a_dead_letter_seen_before(world: World) -> None:
    world.witness.see_dead_letter((RAW, 0, 4), (DEAD_LETTERS, 1, 0))


def an_event_seen_twice(world: World) -> None:
    world.witness.see_event("x-1", "x", 1, (EVENTS, 1, 30))
    world.witness.see_event("x-1", "x", 1, (EVENTS, 1, 31))


WRONG: list[tuple[Callable[[World], None], Fault]] = [
    (not_in_raw, Fault.NOT_IN_RAW),
    (no_event, Fault.LOST),
    (no_dead_letter, Fault.LOST),
    (no_event_after_the_window, Fault.LOST),
    (an_event_twice, Fault.DOUBLED),
    (a_dead_letter_twice, Fault.DOUBLED),
    (an_event_of_a_duplicate_as_well, Fault.DOUBLED),
    (a_duplicate_in_another_partition, Fault.DOUBLED),
    (an_event_of_the_duplicate_alone, Fault.NOT_THE_FIRST),
    (an_event_of_no_raw_record, Fault.UNKNOWN),
    (a_body_that_nobody_sent, Fault.UNKNOWN),
    (a_later_event_first, Fault.OUT_OF_ORDER),
    (another_partition, Fault.OUT_OF_ORDER),
    (raw_out_of_order, Fault.OUT_OF_ORDER),
    (another_subject, Fault.ALTERED),
    (a_field_too_many, Fault.ALTERED),
    (another_key, Fault.ALTERED),
    (another_raw_key, Fault.ALTERED),
    (another_source, Fault.ALTERED),
    (a_dead_letter_of_a_whole_body, Fault.ALTERED),
    (a_dead_letter_without_a_header, Fault.ALTERED),
    (a_dead_letter_cut_short, Fault.ALTERED),
    (an_event_seen_before, Fault.VANISHED),
    (a_dead_letter_seen_before, Fault.VANISHED),
    (an_event_seen_twice, Fault.SEEN_WRONG),
]


def test_where_all_is_well_every_raw_record_is_accounted_for() -> None:
    verdict = World().verdict()
    assert verdict.good, str(verdict)
    assert (verdict.raw, verdict.events, verdict.dead_letters, verdict.duplicates) == (5, 3, 1, 1)
    assert str(verdict).endswith("all is well")


@pytest.mark.parametrize(("go_wrong", "fault"), WRONG, ids=lambda one: getattr(one, "__name__", ""))
def test_what_goes_wrong_is_found(go_wrong: Callable[[World], None], fault: Fault) -> None:
    world = World()
    go_wrong(world)
    verdict = world.verdict()
    assert verdict.faults[fault]
    assert not verdict.good
    assert str(fault) in str(verdict)


def test_every_kind_of_fault_can_occur() -> None:
    assert {fault for _, fault in WRONG} == set(Fault)


def test_a_window_ends_with_its_last_millisecond_and_each_repeat_renews_it() -> None:
    world = World()
    latest = world.raw[2].timestamp_ms
    for offset, timestamp_ms in ((5, latest + WINDOW_MS - 1), (6, latest + 2 * WINDOW_MS - 2)):
        world.raw.append(world.raw[2]._replace(offset=offset, timestamp_ms=timestamp_ms))
    verdict = world.verdict()
    assert verdict.good, str(verdict)
    assert verdict.duplicates == 3


def test_what_may_still_be_processed_is_not_lost() -> None:
    world = World()
    no_event(world)
    assert world.verdict({0: 3}).good
    assert world.verdict({0: 4}).faults[Fault.LOST]


def test_a_letter_sent_back_is_no_duplicate() -> None:
    world = World()
    world.raw.append(moved(world.raw[4], 5)._replace(headers={**world.raw[4].headers, "attempt": b"1"}))
    assert world.verdict().faults[Fault.LOST]
    world.dead_letters.append(world.dead_letter_of(world.raw[5], 8))
    verdict = world.verdict()
    assert verdict.good, str(verdict)
    assert verdict.dead_letters == 2


Seen = tuple[str, str, int, Place]
"""Event id, person, number, place."""

GOOD: list[Seen] = [
    ("x-0", "x", 0, (EVENTS, 0, 0)),
    ("y-0", "y", 0, (EVENTS, 1, 0)),
    ("x-1", "x", 1, (EVENTS, 0, 2)),
    ("x-3", "x", 3, (EVENTS, 0, 3)),
]


def witness(seen: list[Seen]) -> Witness:
    witness = Witness()
    for one in seen:
        witness.see_event(*one)
    return witness


def test_each_event_once_and_in_order_is_well_and_so_is_a_place_read_twice() -> None:
    found = witness([*GOOD, GOOD[-1]])
    assert found.faults == []
    assert found.vanished({place: event_id for event_id, *_, place in GOOD}) == []


@pytest.mark.parametrize(
    "wrong",
    [("x-0", "x", 0, (EVENTS, 0, 4)), ("x-2", "x", 2, (EVENTS, 0, 4)), ("x-4", "x", 4, (EVENTS, 1, 1))],
    ids=["twice", "after a later one", "in another partition"],
)
def test_what_no_sink_must_see_is_named(wrong: Seen) -> None:
    (fault,) = witness([*GOOD, wrong]).faults
    assert fault.startswith(f"{wrong[0]} at ")


@pytest.mark.parametrize("now_there", [{}, {(EVENTS, 0, 3): "y-1"}], ids=["nothing", "another event"])
def test_an_event_that_was_seen_and_is_gone_has_vanished(now_there: dict[Place, str]) -> None:
    there = {place: event_id for event_id, *_, place in GOOD[:-1]}
    assert witness(GOOD).vanished({**there, **now_there}) == [f"x-3 from {EVENTS} 0@3"]
