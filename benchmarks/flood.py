"""What a flood of refused requests does to good traffic: its latency with and without the flood, in turn, in one run.

The flood comes from a process of its own, at a fixed rate: without a limit it would take the machine's cores from the
service, and the client that measures would time its own waiting.
"""

import asyncio
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from typing import NamedTuple

from benchmarks import load
from benchmarks.cluster import OURS, Cluster, fresh
from benchmarks.ingest import PATH, signed, start
from benchmarks.process_tree import ProcessTree
from benchmarks.result import Result
from sternpost.local import ports

GOOD_PER_S = 100
GOOD_CONNECTIONS = 16
FLOOD_CONNECTIONS = 32
UNKNOWN = "/v1/webhook?writeKey=unknown"
LARGE = 1_000_000
SETTLE_S = 1.0
"""After each change, before it counts."""

_spawn = multiprocessing.get_context("spawn")


class Flood(NamedTuple):
    """One kind of request that is answered 401."""

    path: str
    """The write key is in it: an unknown one, or that of a source whose signature the request does not have."""
    body_bytes: int
    per_s: int
    """Requests a second."""
    keep_alive: bool = True
    """Whether connections are used again."""


FLOODS = {
    "unknown key": Flood(UNKNOWN, 500, 1_000),
    "unknown key, new connections": Flood(UNKNOWN, 500, 250, keep_alive=False),
    "unknown key, 1 MB": Flood(UNKNOWN, LARGE, 25),
    "wrong signature": Flood(PATH, 500, 500),
    "wrong signature, 1 MB": Flood(PATH, LARGE, 25),
}


def measure(cluster: Cluster, seconds: int, turns: int) -> Iterator[Result]:
    """Yield a result for each kind of flood: `seconds` quiet and `seconds` flooded, `turns` times.

    Figures of good traffic are medians over the turns; the ratio is the median of each turn's.
    """
    port = ports.choose(0, OURS, "")
    with fresh(cluster, ingest={"port": port}) as place:
        service = start(cluster, place, port, OURS, None)
        try:
            assert service.pid
            tree = ProcessTree(service.pid)
            asyncio.run(_good(port, 2 * seconds))  # warm
            for kind, flood in FLOODS.items():
                yield Result("flood", kind, {"at_most_per_s": flood.per_s}, _measure(port, flood, seconds, turns, tree))
        finally:
            service.stop()


def _measure(port: int, flood: Flood, seconds: int, turns: int, tree: ProcessTree) -> dict[str, float]:
    quiet, flooded, rates, failed = [], [], [], 0
    for _ in range(turns):
        taken, wrong = asyncio.run(_good(port, seconds))
        quiet.append(load.percentile_ms(taken, 99))
        failed += wrong
        stop = _spawn.Event()
        answered = _spawn.Value("q", 0)
        process = _spawn.Process(target=_flood, args=(port, flood, stop, answered), daemon=True)
        process.start()
        while not answered.value:
            time.sleep(0.05)
        time.sleep(SETTLE_S)
        before, began = answered.value, time.monotonic()
        taken, wrong = asyncio.run(_good(port, seconds))
        rates.append((answered.value - before) / (time.monotonic() - began))
        stop.set()
        process.join()
        failed += wrong
        flooded.append(load.percentile_ms(taken, 99))
        time.sleep(SETTLE_S)
    tree.sample_rss()
    return {
        "quiet_p99_ms": statistics.median(quiet),
        "flooded_p99_ms": statistics.median(flooded),
        "ratio": statistics.median(after / before for before, after in zip(quiet, flooded, strict=True)),
        "refused_per_s": statistics.median(rates),
        "failed": failed,
        "rss_mib": tree.peak_rss_bytes / 2**20,
    }


async def _good(port: int, seconds: int) -> tuple[list[float], int]:
    """Send good webhooks at their rate; return how long each took, in seconds, and how many were not answered 200."""
    requests = [signed(number, os.urandom(4).hex()) for number in range(GOOD_PER_S * seconds)]
    taken: list[float] = []
    failed = 0
    numbers = iter(range(len(requests)))
    began = time.monotonic()

    async def client() -> None:
        nonlocal failed
        async with load.Connection(port) as connection:
            for number in numbers:  # shared: the next free connection takes the next request
                headers, body = requests[number]
                due = began + number / GOOD_PER_S
                await asyncio.sleep(due - time.monotonic())
                sent = time.monotonic()
                failed += await connection.post(PATH, headers, body) != 200
                taken.append(time.monotonic() - sent)

    await asyncio.gather(*(client() for _ in range(GOOD_CONNECTIONS)))
    return taken, failed


def _flood(port: int, flood: Flood, stop: Event, answered: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    """Send the flood at its rate until told to stop; a request that is late is sent at once."""
    asyncio.run(_send_flood(port, flood, stop, answered))


async def _send_flood(
    port: int, flood: Flood, stop: Event, answered: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    headers, _ = signed(0)
    body = bytes(flood.body_bytes)
    next_at = time.monotonic()

    async def client() -> None:
        nonlocal next_at
        while not stop.is_set():
            async with load.Connection(port) as connection:
                while not stop.is_set():
                    # Those that could not be sent in time are not made up for: the rate is a limit.
                    next_at = max(next_at + 1 / flood.per_s, time.monotonic() - 0.1)
                    await asyncio.sleep(next_at - time.monotonic())
                    status = await connection.post(flood.path, headers, body)
                    assert status == 401, status
                    with answered.get_lock():
                        answered.value += 1
                    if not flood.keep_alive:
                        break

    await asyncio.gather(*(client() for _ in range(FLOOD_CONNECTIONS)))
