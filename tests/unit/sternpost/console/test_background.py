"""Blocking work beside the event loop: bounded, and never in its way."""

import asyncio
import threading
import weakref

import pytest

from runtime.errors import DependencyError
from sternpost.console import background


def test_the_loop_goes_on_while_a_call_blocks() -> None:
    free = threading.Event()

    async def both() -> int:
        call = asyncio.create_task(background.call(lambda: free.wait(60) and 7))
        await asyncio.sleep(0)
        free.set()  # the loop got here although the call blocks
        return await call

    assert asyncio.run(both()) == 7


def test_a_call_that_takes_too_long_is_given_up_and_keeps_its_place() -> None:
    free = threading.Event()
    running = threading.Semaphore(0)

    def block() -> None:
        running.release()
        free.wait(60)

    async def calls() -> None:
        abandoned = [background.call(block, limit_s=0.2) for _ in range(background.MOST_CALLS + 3)]
        results = await asyncio.gather(*abandoned, return_exceptions=True)
        assert all(isinstance(result, DependencyError) for result in results)
        free.set()
        assert await background.call(lambda: "free again", limit_s=60) == "free again"

    asyncio.run(calls())
    for _ in range(background.MOST_CALLS):
        assert running.acquire(timeout=60), "each of them ran"
    assert not running.acquire(blocking=False), "and no other"


def test_errors_come_through() -> None:
    def fail() -> None:
        raise DependencyError("away")

    with pytest.raises(DependencyError, match="away"):
        asyncio.run(background.call(fail))


def test_an_error_that_is_kept_keeps_nothing_of_the_work() -> None:
    class Client: ...

    clients = weakref.WeakSet[Client]()

    def lower() -> None:
        client = Client()
        clients.add(client)
        raise ValueError(f"of {len(clients)}")

    def fail() -> None:
        client = Client()
        clients.add(client)
        try:
            lower()
        except ValueError as error:
            raise DependencyError("away") from error

    with pytest.raises(DependencyError) as kept:
        asyncio.run(background.call(fail))
    assert kept.value.__cause__ is not None
    assert not clients


def test_a_job_reports_and_stops() -> None:
    loop: asyncio.AbstractEventLoop
    seen: asyncio.Event

    def work(stop: threading.Event, report: object) -> str:
        assert callable(report)
        report(3, 10)
        loop.call_soon_threadsafe(seen.set)
        return "stopped" if stop.wait(60) else "not stopped"

    async def run() -> None:
        nonlocal loop, seen
        loop, seen = asyncio.get_running_loop(), asyncio.Event()
        job = background.Job(work)
        result = job.start()
        await seen.wait()
        assert (job.running, job.done, job.total, job.cancelled) == (True, 3, 10, False)
        job.cancel()
        assert await result == "stopped"
        assert not job.running

    asyncio.run(run())
