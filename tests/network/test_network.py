"""Exactly once, while the network between all parts breaks.

    STERNPOST_NETWORK_SEED=7   the seed: which faults, in which order, of which hosts, for how long; what is sent
    STERNPOST_NETWORK_RUNS=20  so many runs, with seeds from that one on
    STERNPOST_NETWORK_EVENTS   events of a run, at most (30,000); it ends with the last fault
    STERNPOST_NETWORK_RATE     events a second, at most (100)
    STERNPOST_NETWORK_FAULTS   names of faults, separated by commas (a share of all: successive seeds meet all)

Three brokers, the registry, two ingests and three processors have a host each: namespaces of the network, with an
address of their own. The sender and the reader that judges are on another. A fresh event must come out after each
fault, as in tests/chaos/test_exactly_once.py; ingest must give one of its answers in time, and no service may end.
"""

import os
import random
import shutil
import subprocess
import sys

import pytest

from sternpost.local.artifacts import Cache
from sternpost.local.installation import install
from tests.network.faults import FAULTS
from tests.network.hosts import TOOLS

SEED = int(os.environ.get("STERNPOST_NETWORK_SEED") or random.randrange(10_000))
RUNS = int(os.environ.get("STERNPOST_NETWORK_RUNS") or 1)
EVENTS = os.environ.get("STERNPOST_NETWORK_EVENTS") or "30000"
RATE = os.environ.get("STERNPOST_NETWORK_RATE") or "100"
CHOSEN = os.environ.get("STERNPOST_NETWORK_FAULTS")
SHARES = 3
"""A run takes one fault in so many, which keeps it to some five minutes."""


def faults(seed: int) -> list[str]:
    """Return the names of the faults of a run, in their order."""
    if CHOSEN:
        return random.Random(seed).sample(names := CHOSEN.split(","), len(names))
    hand, share = divmod(seed, SHARES)
    return random.Random(hand).sample(list(FAULTS), len(FAULTS))[share::SHARES]


def in_namespaces(*module: str) -> bool:
    """Run a module in namespaces of its own, and return whether it ended well. It ends with this process."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"hosts of our own need root and {', '.join(TOOLS)}; missing here: {', '.join(missing) or 'root'}")
    own = ["setpriv", "--pdeathsig=KILL", "unshare", "--net", "--mount"]
    return subprocess.run([*own, sys.executable, "-m", *module], check=False).returncode == 0


def test_successive_seeds_take_every_fault_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.CHOSEN", None)
    assert sorted(name for seed in range(3, 3 + SHARES) for name in faults(seed)) == sorted(FAULTS)


def test_links_are_hurt_as_they_should_be() -> None:
    assert in_namespaces("tests.network.links")


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_every_acknowledged_event_comes_out_exactly_once(seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    install(Cache(), registry=True)  # where there is a network to fetch it from
    with capfd.disabled():
        assert in_namespaces("tests.network.run", str(seed), EVENTS, RATE, *faults(seed))
