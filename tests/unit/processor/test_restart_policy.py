"""How often, how soon and why a stream processor is started again."""

import time

import pytest

from processor.restart_policy import (
    FENCED_WITHIN_S,
    LONGEST_PAUSE_S,
    MOST_FENCINGS,
    RELEASE_S,
    STABLE_AFTER_S,
    RestartPolicy,
)
from runtime.errors import ClientUnusableError, ConfigurationError, InstanceFencedError, InstanceInUseError


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def policy() -> RestartPolicy:
    return RestartPolicy("group", "machine-0")


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_stable_run(clock: Clock, policy: RestartPolicy) -> None:
    pauses = []
    for _ in range(7):
        begun = clock.now
        clock.now += STABLE_AFTER_S  # not longer than that
        assert policy.cause(ClientUnusableError("gone"), begun) == "gone"
        pauses.append(policy.next_pause_s())
    assert pauses == [0.5, 1, 2, 4, 8, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    begun = clock.now
    clock.now += STABLE_AFTER_S + 0.1
    policy.cause(ClientUnusableError("gone"), begun)
    assert policy.next_pause_s() == 0.5


def test_a_place_that_is_not_released_belongs_to_another(clock: Clock, policy: RestartPolicy) -> None:
    first = clock.now
    another = "another process is member machine-0 of the group group: give each machine a processor.instance_id"
    while clock.now <= first + RELEASE_S:
        cause = policy.cause(InstanceInUseError("…"), clock.now)
        assert "still count an earlier process as member machine-0" in cause
        assert another in cause
        clock.now += 5
    with pytest.raises(ConfigurationError, match=another):
        policy.cause(InstanceInUseError("…"), clock.now)


def test_a_place_is_waited_for_while_only_one_that_died_may_have_it(clock: Clock, policy: RestartPolicy) -> None:
    """It has a session of 60 s, a new one for each move of the coordinator there and back; then an answer is lost."""
    first = clock.now
    while clock.now < first + 4 * 60:
        assert "still count" in policy.cause(InstanceInUseError("…"), clock.now)
        clock.now += LONGEST_PAUSE_S


def test_a_place_that_was_had_in_between_is_waited_for_again(clock: Clock, policy: RestartPolicy) -> None:
    """As after two crashes a minute apart: each time the brokers wait for the session of the one before to end."""
    for _ in range(10):
        assert "still count" in policy.cause(InstanceInUseError("…"), clock.now)
        clock.now += RELEASE_S / 2


def test_a_lost_place_is_taken_back_so_often_within_a_time(clock: Clock, policy: RestartPolicy) -> None:
    for _ in range(3 * MOST_FENCINGS):
        assert "may be an earlier self" in policy.cause(InstanceFencedError("…"), clock.now)
        clock.now += FENCED_WITHIN_S / MOST_FENCINGS
    policy.cause(InstanceFencedError("…"), clock.now)
    with pytest.raises(ConfigurationError, match="another process is member"):
        policy.cause(InstanceFencedError("…"), clock.now)


def test_a_place_lost_with_a_connection_is_taken_back_however_often(clock: Clock, policy: RestartPolicy) -> None:
    for _ in range(3 * MOST_FENCINGS):
        assert "may be an earlier self" in policy.cause(InstanceFencedError("…"), clock.now, "broker:9092: gone")
    for _ in range(MOST_FENCINGS):
        policy.cause(InstanceFencedError("…"), clock.now)
    with pytest.raises(ConfigurationError, match="another process is member"):
        policy.cause(InstanceFencedError("…"), clock.now)


def test_kinds_of_failure_do_not_count_for_each_other(clock: Clock, policy: RestartPolicy) -> None:
    for _ in range(10):
        policy.cause(ClientUnusableError("gone"), clock.now)
    policy.cause(InstanceFencedError("…"), clock.now)
    assert "still count" in policy.cause(InstanceInUseError("…"), clock.now)
