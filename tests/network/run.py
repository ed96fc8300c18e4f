"""One run of the network's faults: `python -m tests.network.run SEED EVENTS RATE FAULT…`.

It needs namespaces of its own: see hosts.py.
"""

import sys

from runtime.settings.model import GroupProtocol
from tests.chaos.experiment import endure, say
from tests.network.faults import FAULTS
from tests.network.site import Site

ANSWERS = {200, 503}
KNOWN_CRASH = "eonce->refcnt > 0' failed"
"""https://github.com/confluentinc/librdkafka/issues/4605: a member asks about its group, and the coordinator goes away.
The worker is started again."""


def main(seed: int, events: int, rate: int, faults: list[str]) -> None:
    """Raise AssertionError if anything came out as it should not."""
    protocol = list(GroupProtocol)[seed % 2]
    with Site(protocol) as site:
        say(f"STERNPOST_NETWORK_SEED={seed}, {protocol}: {events} events; logs in {site.folder}")
        load = endure(site, {name: FAULTS[name] for name in faults}, seed, events, rate, to_the_last=False)
        assert set(load.answers) <= ANSWERS, f"answers by status, 0 if none came in time: {load.answers}"
        ended = [one for one in site.restarts if not one.endswith(": -9")]  # two of the faults kill a processor
        assert not ended, f"a network's fault ended {ended}"
        logs = [service.log.read_text("utf-8") for service in (*site.ingests, *site.processors)]
        crashes, known = (sum(log.count(text) for log in logs) for text in ("Fatal Python error", KNOWN_CRASH))
        say(f"workers that crashed: {crashes}, {known} of them for a known reason")
        assert crashes == known, f"logs in {site.folder}"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
