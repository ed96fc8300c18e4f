"""One run of the fault tests: each fault once while events flow, and then the judgement."""

import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from tests.chaos.load import Load
from tests.chaos.oracle import Watch, judge
from tests.chaos.pipeline import Pipeline

RECOVERY_S = 90.0
"""Longest until a fresh event comes out: a session time-out, a transaction time-out, a restart and a catch-up, on a
machine that has two cores for all of it."""


def say(text: str) -> None:
    sys.stdout.write(f"[chaos] {text}\n")  # whether it passes or not: a seed that fails must be known
    sys.stdout.flush()


P = TypeVar("P", bound=Pipeline)


def in_this_order(*faults: Callable[[P, random.Random], None]) -> dict[str, Callable[[P, random.Random], None]]:
    """Return the faults by their names in plain words."""
    return {fault.__name__.replace("_", " "): fault for fault in faults}


def endure(
    pipeline: P,
    faults: Mapping[str, Callable[[P, random.Random], None]],
    seed: int,
    events: int,
    rate: int,
    *,
    to_the_last: bool = True,
) -> Load:
    """Return the load, once all of it came out as it should. Raises AssertionError if anything did not.

    `to_the_last`: all events, rather than those that are sent before the faults are over.
    """
    rng = random.Random(seed)
    watch = Watch(pipeline)
    try:
        with Load(pipeline, seed, events, rate) as load:
            for number, (name, fault) in enumerate(faults.items()):
                begun = time.monotonic()
                fault(pipeline, rng)
                healed = time.monotonic()
                missing = watch.wait_for(load.probe(f"probe-{number}", rng), RECOVERY_S)
                flow_s = time.monotonic() - healed
                sent = len(load.acknowledged)
                say(f"{name}: {healed - begun:.1f} s, fresh events {flow_s:.1f} s later; {sent} sent")
                assert not missing, f"{sorted(missing)} did not come out within {RECOVERY_S} s after {name}"
                for processor in pipeline.processors:
                    pipeline.await_ready(processor)
            if to_the_last:
                load.join()
            else:
                load.end()
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
    return load
