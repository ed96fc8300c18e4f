"""Questions about groups, which only a group's coordinator answers."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from runtime.kafka import ADMIN_TIMEOUT_S

T = TypeVar("T")
PAUSE_S = 0.1


def answer(ask: Callable[[], "Future[T]"]) -> T:
    """What the coordinator says. Asks again for a while where it has just moved to another broker, which is when people
    ask. Raises KafkaException."""
    from confluent_kafka import KafkaError, KafkaException

    moving = (
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    )
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    while True:
        try:
            return ask().result()
        except KafkaException as error:
            if error.args[0].code() not in moving or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
