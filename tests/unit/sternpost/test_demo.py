"""The demo's own judgement: it must find every kind of wrong count."""

from collections.abc import Callable

import pytest

from sternpost.local import samples
from sternpost.local.demo import Outcome


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
