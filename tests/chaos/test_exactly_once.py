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
import sys
import time

import pytest

from runtime.settings.model import GroupProtocol
from tests.chaos.faults import FAULTS
from tests.chaos.load import Load
from tests.chaos.oracle import Watch, judge
from tests.chaos.pipeline import Pipeline

RECOVERY_S = 90.0
"""Longest until a fresh event comes out: a session time-out, a transaction time-out, a restart and a catch-up, on a
machine that has two cores for all of it."""

SEED = int(os.environ.get("STERNPOST_CHAOS_SEED") or random.randrange(10_000))
RUNS = int(os.environ.get("STERNPOST_CHAOS_RUNS") or 1)
EVENTS = int(os.environ.get("STERNPOST_CHAOS_EVENTS") or 30_000)
RATE = int(os.environ.get("STERNPOST_CHAOS_RATE") or 500)
CHOSEN = (os.environ.get("STERNPOST_CHAOS_FAULTS") or ",".join(FAULTS)).split(",")
PROTOCOL = os.environ.get("STERNPOST_CHAOS_PROTOCOL") or "split"
PROTOCOLS = list(GroupProtocol) if PROTOCOL in ("split", "both") else [GroupProtocol(PROTOCOL)]


def say(text: str) -> None:
    sys.stdout.write(f"[chaos] {text}\n")  # whether it passes or not: a seed that fails must be known
    sys.stdout.flush()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_every_acknowledged_event_comes_out_exactly_once(
    seed: int, protocol: GroupProtocol, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    faults, events = rng.sample(CHOSEN, len(CHOSEN)), EVENTS
    if PROTOCOL == "split":
        faults, events = faults[PROTOCOLS.index(protocol) :: 2], EVENTS // 2
    with capfd.disabled(), Pipeline(3, protocol) as pipeline:
        say(f"STERNPOST_CHAOS_SEED={seed}, {protocol}: {events} events; logs in {pipeline.folder}")
        watch = Watch(pipeline)
        try:
            with Load(pipeline, seed, events, RATE) as load:
                for number, name in enumerate(faults):
                    begun = time.monotonic()
                    FAULTS[name](pipeline, rng)
                    healed = time.monotonic()
                    missing = watch.wait_for(load.probe(f"probe-{number}", rng), RECOVERY_S)
                    flow_s = time.monotonic() - healed
                    sent = len(load.acknowledged)
                    say(f"{name}: {healed - begun:.1f} s, fresh events {flow_s:.1f} s later; {sent} sent")
                    assert not missing, f"{sorted(missing)} did not come out within {RECOVERY_S} s after {name}"
                    for processor in pipeline.processors:
                        pipeline.await_ready(processor)
                load.join()
                missing = watch.wait_for(load.probe("probe-last", rng), RECOVERY_S)
                say(f"{len(load.acknowledged)} acknowledged, {load.retries} retries, {load.repeats} sent twice")
                assert not missing
        finally:
            watch.close()
        for processor in pipeline.processors:
            pipeline.stop_service(processor)
        verdict = judge(pipeline, load.acknowledged, watch.witness)
        say(f"restarted by the orchestrator: {len(pipeline.restarts)}; {verdict}")
        assert verdict.good, str(verdict)
