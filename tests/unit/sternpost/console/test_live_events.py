"""The list of live events is bounded, and says what it no longer has."""

import threading
from collections.abc import Iterator

import pytest

from runtime.errors import DependencyError, RegistryUnavailableError, SternpostError
from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.console import live_events
from sternpost.console.live_events import LiveEvents
from sternpost.operations.tail import TailedEvent
from tests.support.waiting import until


def tailed(offset: int, size: int = 100, **event: object) -> TailedEvent:
    return TailedEvent(0, offset, 0, [], {"event": "Email Sent", **event}, size)


def test_bounded_in_number() -> None:
    events = LiveEvents(Settings())
    for offset in range(live_events.MOST + 10):
        events._add(tailed(offset))
    found, missed = events.since(0)
    assert (len(found), missed) == (live_events.MOST, 10)
    assert events.since(found[-3].number) == (found[-2:], 0)
    assert events.since(events.newest) == ([], 0)
    assert events.since(4)[1] == 6


def test_bounded_in_bytes() -> None:
    events = LiveEvents(Settings())
    for offset in range(200):
        events._add(tailed(offset, 1_048_576))
    found, missed = events.since(0)
    assert (len(found), missed) == (64, 136)


def test_one_person_has_one_nickname_that_says_nothing() -> None:
    events = LiveEvents(Settings())
    for person in ("ada", "ada", "grace", None):
        events._add(tailed(0, userId=person))
    (ada, again, grace, nobody), _ = events.since(0)
    assert ada.nickname == again.nickname != grace.nickname
    assert "ada" not in ada.nickname
    assert nobody.nickname == ""


def test_a_record_that_is_no_event() -> None:
    events = LiveEvents(Settings())
    events._add(TailedEvent(0, 7, 0, [], None, 3))
    [found], _ = events.since(0)
    assert (found.name, found.raw_place, found.event_id) == ("(not an event)", None, "")


@pytest.mark.parametrize(
    ("problem", "left"), [(DependencyError("brokers are away"), None), (RegistryUnavailableError("away"), "away")]
)
def test_a_problem_of_kafka_is_over_once_the_topic_is_read_again(
    problem: SternpostError, left: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = threading.Event()

    def tail(_: Settings, *, stop: threading.Event) -> Iterator[TailedEvent]:
        if events.problem is None and not reading.is_set() and not seen:
            seen.append(problem)
            raise problem
        reading.set()
        stop.wait(60)  # the topic is quiet
        yield from ()

    seen: list[SternpostError] = []
    monkeypatch.setattr(live_events, "tail", tail)
    monkeypatch.setattr(live_events, "RETRY_S", 0.01)
    monkeypatch.setattr(range_consumer, "topic_partitions", lambda *_: [0])
    events = LiveEvents(Settings())
    events.watch()
    try:
        until(reading.is_set)
        assert seen
        assert (events.problem and events.problem.problem) == left
    finally:
        events.leave()
    events.watch()
    events.leave()
    assert events.problem is None, "whoever looks next sees what is so then"
    until(lambda: not any(thread.name == "live events" for thread in threading.enumerate()))
