"""Blocking work beside the event loop: Kafka's calls take seconds if brokers are away, and pages must not wait.

    result = await call(operation, settings)          # short: bounded in time, and in how many run at once
    job = Job(lambda stop, report: …); job.start()    # long: has progress, and can be cancelled

Threads are daemons, so that Ctrl-C does not wait for brokers.
"""

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from runtime.errors import DependencyError

T = TypeVar("T")

MOST_CALLS = 8
"""Calls that run at once. One that was given up keeps its place until it ends."""
MOST_JOBS = 4
LIMIT_S = 30.0

_calls = asyncio.Semaphore(MOST_CALLS)
_jobs = asyncio.Semaphore(MOST_JOBS)


async def call(function: Callable[[], T], *, limit_s: float = LIMIT_S) -> T:
    """Run a blocking function in a thread and return its result.

    Raises what the function raises, and DependencyError if it takes longer than `limit_s` seconds.
    """
    try:
        async with asyncio.timeout(limit_s):
            await _calls.acquire()
            return await asyncio.shield(_in_thread(function, _calls))
    except TimeoutError:
        raise DependencyError(f"no answer within {limit_s:.0f} s") from None


class Job(Generic[T]):
    """Long blocking work: what it has done so far, and a way to stop it."""

    def __init__(self, work: Callable[[threading.Event, Callable[[int, int], None]], T]) -> None:
        """Take the work. It is given a request to stop, to look at often, and a function for its progress.

        The progress is how much is done, and of how much.
        """
        self._work = work
        self._stop = threading.Event()
        self._task: asyncio.Task[T] | None = None
        self.done, self.total = 0, 0

    def start(self) -> "asyncio.Task[T]":
        """Start in the background, as soon as fewer than `MOST_JOBS` others run; return what to await."""
        self._task = asyncio.create_task(self._run())
        return self._task

    def cancel(self) -> None:
        """Ask the work to stop; it decides where, and still has a result."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._task is not None and not self._task.done()

    async def wait(self) -> None:
        """Return once it has ended, however it did."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> T:
        await _jobs.acquire()
        return await asyncio.shield(_in_thread(lambda: self._work(self._stop, self._report), _jobs))

    def _report(self, done: int, total: int) -> None:
        self.done, self.total = done, total


def _in_thread(function: Callable[[], T], place: asyncio.Semaphore) -> "asyncio.Future[T]":
    """Run the function in a thread; its place is free when it has ended, however long someone waits for it."""
    loop = asyncio.get_running_loop()
    future = _in_daemon_thread(function)

    def free(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the console has ended
            loop.call_soon_threadsafe(place.release)

    future.add_done_callback(free)
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting any more
    return waiting


def _in_daemon_thread(call: Callable[[], T]) -> "Future[T]":
    """Run `call` in a daemon thread and return its future.

    Unlike with `ThreadPoolExecutor`, a call that never returns does not block interpreter shutdown:
    https://docs.python.org/3/library/concurrent.futures.html#concurrent.futures.ThreadPoolExecutor
    """
    future: Future[T] = Future()

    def run(future: "Future[T]") -> None:
        try:
            result = call()
        except BaseException as error:
            _free_frames(error)
            future.set_exception(error)
            del future  # otherwise the error would keep itself, and everything in its frames, alive
        else:
            future.set_result(result)

    threading.Thread(target=run, name="console", args=(future,), daemon=True).start()
    return future


def _free_frames(error: BaseException) -> None:
    """Free what the frames of an error hold, a producer for example: a page keeps its last run's error for hours."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__context__
