"""Exactly once, while everything that runs is hurt in turn.

    STERNPOST_CHAOS_SEED=7    the seed: which processor or broker, in which order, what is sent
    STERNPOST_CHAOS_RUNS=20   so many runs, with seeds from that one on
    STERNPOST_CHAOS_EVENTS    events of a run (30,000)
    STERNPOST_CHAOS_RATE      events a second, at most (500)
    STERNPOST_CHAOS_FAULTS    names of faults, separated by commas (all)
    STERNPOST_CHAOS_PROTOCOL  group protocol: classic, consumer, `both` (each meets all faults and events), or `split`
                              (each meets half of them; the default)

A run takes each of its faults once, in a random order, while events flow. A fresh event must come out within RECOVERY_S
after each. A reader that follows meanwhile must never see an event twice or out of order, nor one that is gone later.
At the end each acknowledged event must be there exactly once, whole, and in the order of its person.
"""

import os
import random

import pytest

from runtime.settings.model import GroupProtocol
from tests.chaos.experiment import endure, say
from tests.chaos.faults import FAULTS
from tests.chaos.pipeline import Pipeline

SEED = int(os.environ.get("STERNPOST_CHAOS_SEED") or random.randrange(10_000))
RUNS = int(os.environ.get("STERNPOST_CHAOS_RUNS") or 1)
EVENTS = int(os.environ.get("STERNPOST_CHAOS_EVENTS") or 30_000)
RATE = int(os.environ.get("STERNPOST_CHAOS_RATE") or 500)
CHOSEN = (os.environ.get("STERNPOST_CHAOS_FAULTS") or ",".join(FAULTS)).split(",")
PROTOCOL = os.environ.get("STERNPOST_CHAOS_PROTOCOL") or "split"
PROTOCOLS = list(GroupProtocol) if PROTOCOL in ("split", "both") else [GroupProtocol(PROTOCOL)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_every_acknowledged_event_comes_out_exactly_once(
    seed: int, protocol: GroupProtocol, capfd: pytest.CaptureFixture[str]
) -> None:
    faults, events = random.Random(seed).sample(CHOSEN, len(CHOSEN)), EVENTS
    if PROTOCOL == "split":
        faults, events = faults[PROTOCOLS.index(protocol) :: 2], EVENTS // 2
    with capfd.disabled(), Pipeline(3, protocol) as pipeline:
        say(f"STERNPOST_CHAOS_SEED={seed}, {protocol}: {events} events; logs in {pipeline.folder}")
        endure(pipeline, {name: FAULTS[name] for name in faults}, seed, events, RATE)
