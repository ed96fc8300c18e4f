"""Retries of broker requests that fail for the moment."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from runtime.kafka.errors import LEADERSHIP_ERRORS

K = TypeVar("K")
T = TypeVar("T")

TIMEOUT_S = 15
"""How long a request may take, with its repetitions."""

TRY_S, PAUSE_S = 3, 0.1

# _TIMED_OUT: a request sent while a coordinator is being elected may never be answered; a new one is.
_TRANSIENT = frozenset({*LEADERSHIP_ERRORS, KafkaError.FENCED_LEADER_EPOCH, KafkaError._TIMED_OUT})


def gather_with_retry(ask: Callable[[int], Mapping[K, "Future[T]"]]) -> dict[K, T]:
    """Send an admin request, retry it as `retry_transient` does, and return its results.

    `ask` takes the seconds to wait for an answer. Raises KafkaException.
    """
    return retry_transient(lambda: {of: future.result() for of, future in ask(TRY_S).items()})


def retry_transient(call: Callable[[], T]) -> T:
    """Repeat the call for up to TIMEOUT_S seconds while a leader or coordinator is missing or moving to another broker.

    Raises KafkaException.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in _TRANSIENT or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
