"""Calls in a thread that may be left behind."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def run_in_daemon_thread(name: str, call: Callable[[], T]) -> "Future[T]":
    """One that hangs keeps the process neither from going on nor ending: an executor's thread would be waited for."""
    future: Future[T] = Future()

    def run(future: "Future[T]") -> None:
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
            del future  # or the error, by the frames in its traceback, would hold itself, and all they hold
        else:
            future.set_result(result)

    Thread(target=run, name=name, args=(future,), daemon=True).start()
    return future
