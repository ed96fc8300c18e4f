"""The demo's own judgement: it must find every kind of wrong count."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from runtime.settings.model import Settings
from sternpost.local import demo, samples
from sternpost.local.demo import Outcome
from sternpost.operations.status import service


def right() -> Outcome:
    outcome = Outcome(deduplicated=1, refused=1, raw=len(samples.PAIRS) + 2)
    for payload in samples.one_of_each():
        channel = payload["object_type"]
        for counted in (outcome.sent, outcome.acknowledged, outcome.emitted):
            counted[channel] += 1
        outcome.events.append({"messageId": payload["event_id"], "event": "A Name"})
    outcome.sent.update(email=1, broken=1, forged=1)
    outcome.acknowledged.update(email=1, broken=1)
    outcome.dead_lettered["malformed_json"] = 1
    return outcome


def test_the_right_counts_are_found_right() -> None:
    assert right().wrong() == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda o: o.emitted.update(email=1),
        lambda o: o.emitted.update({"email": 1, "push": -1}),
        lambda o: o.acknowledged.update(email=-1),
        lambda o: o.dead_lettered.update(malformed_json=1),
        lambda o: o.dead_lettered.update({"malformed_json": -1, "internal_error": 1}),
        lambda o: setattr(o, "deduplicated", 0),
        lambda o: setattr(o, "refused", 0),
        lambda o: setattr(o, "raw", o.raw + 1),
        lambda o: o.events[0].update(messageId="another"),
        lambda o: o.events[0].update(event="Unknown Event"),
    ],
)
def test_any_wrong_count_is_found(spoil: Callable[[Outcome], object]) -> None:
    outcome = right()
    spoil(outcome)
    assert outcome.wrong()


def test_duplicates_are_those_that_the_processor_counts_once_it_has_counted_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = [{}, {"events": 69}, {"events": 69, "duplicates": 1, "dead_letters": 1}]
    answers = iter([{f"sternpost_processor_{name}_total": float(n) for name, n in one.items()} for one in counted])
    monkeypatch.setattr(service, "fetch_status", lambda *_: SimpleNamespace(totals=next(answers)))
    assert demo._duplicates(Settings(), 71) == 1
