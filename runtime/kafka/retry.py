"""Asks brokers what they may not know just then."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from runtime.kafka.admin import ADMIN_TIMEOUT_S
from runtime.kafka.errors import LEADERSHIP_ERRORS

K = TypeVar("K")
T = TypeVar("T")
TRY_S, PAUSE_S = 3, 0.1


def gather_results(ask: Callable[[int], Mapping[K, "Future[T]"]]) -> dict[K, T]:
    """What the brokers say to an admin client's question; `ask` takes the seconds to wait. Raises KafkaException."""
    return retry_transient(lambda: {of: future.result() for of, future in ask(TRY_S).items()})


def retry_transient(call: Callable[[], T]) -> T:
    """The same call again for a while, where a leader or a coordinator is not there, or has just moved to another
    broker: which is when people ask. Raises KafkaException."""
    from confluent_kafka import KafkaError, KafkaException

    # While a coordinator is being made, the client waits for it in vain.
    passing = (*LEADERSHIP_ERRORS, KafkaError.FENCED_LEADER_EPOCH, KafkaError._TIMED_OUT)
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
