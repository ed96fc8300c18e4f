"""A future computed in a daemon thread, which can be abandoned."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def run_in_daemon_thread(name: str, call: Callable[[], T]) -> "Future[T]":
    """Run `call` in a daemon thread and return its future.

    Unlike with `ThreadPoolExecutor`, a call that never returns does not block interpreter shutdown:
    https://docs.python.org/3/library/concurrent.futures.html#concurrent.futures.ThreadPoolExecutor
    """
    future: Future[T] = Future()

    def run(future: "Future[T]") -> None:
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
            del future  # otherwise the error would keep itself, and everything in its frames, alive
        else:
            future.set_result(result)

    Thread(target=run, name=name, args=(future,), daemon=True).start()
    return future
