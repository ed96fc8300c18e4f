"""Ask services on their admin ports, all of them at the same time."""

import threading
import time
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import httpx2

from runtime.kafka.admin import TIMEOUT_S


class NoAnswer(NamedTuple):
    """Why there is no answer."""

    reason: str
    timed_out: bool
    """Whether something may be there that is slow, rather than nothing."""


Answer = httpx2.Response | NoAnswer


def get_all(urls: Iterable[str]) -> dict[str, Answer]:
    """Get each URL, and wait for the answers as long as commands wait for brokers: `TIMEOUT_S` seconds in all.

    It raises nothing.
    """
    answers: dict[str, Answer] = {}

    def get(url: str) -> None:
        answers[url] = _get(url)

    # Daemons, so that Ctrl-C does not wait for them.
    threads = {url: threading.Thread(target=get, args=(url,), name="admin-port", daemon=True) for url in urls}
    deadline = time.monotonic() + TIMEOUT_S
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return {url: answers.get(url, _TIMED_OUT) for url in threads}


def _get(url: str) -> Answer:
    try:
        return _client().get(url)
    except httpx2.TimeoutException:
        return _TIMED_OUT
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return NoAnswer(f"no answer ({str(error) or type(error).__name__})", timed_out=False)


_TIMED_OUT = NoAnswer(f"no answer within {TIMEOUT_S:g} s", timed_out=True)


@cache
def _client() -> httpx2.Client:
    """Return a client for all threads, since one takes 30 ms to make. It keeps no connections."""
    return httpx2.Client(timeout=TIMEOUT_S, trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0))
