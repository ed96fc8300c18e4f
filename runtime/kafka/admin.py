"""Topics, groups and offsets, by one client that is kept until its answers are there."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata

from runtime.errors import DependencyError
from runtime.kafka.clients import make_admin
from runtime.kafka.errors import failures_of, unreachable
from runtime.settings.model import Settings

ADMIN_TIMEOUT_S = 15

FIRST_TRY_S = 0.25
"""Tries double in length: between two, a client tells why brokers cannot be reached."""

K = TypeVar("K")
T = TypeVar("T")


class KafkaAdmin:
    """An AdminClient. librdkafka fails what a client has not answered once that client is collected, so `ask` returns
    only when all is answered."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError."""
        self._settings = settings
        self._client = make_admin(settings)

    def metadata(self, topic: str | None = None, timeout_s: float | None = None) -> ClusterMetadata:
        """Brokers and topics, or the one topic. Raises DependencyError with the reason if no broker answers."""
        return cluster_metadata(self._settings, self._client, topic, timeout_s)

    def ask(self, question: Callable[[AdminClient], Mapping[K, "Future[T]"]]) -> dict[K, "Future[T]"]:
        """The answers to a question, all of them there: `ask(lambda client: client.delete_topics(["a"]))`.

        Raises DependencyError with the reason if no broker can be reached. What brokers refuse is in the futures.
        """
        begun = time.monotonic()
        failures = failures_of(self._settings.kafka.bootstrap_servers)
        answers = dict(question(self._client))
        while wait(answers.values(), FIRST_TRY_S).not_done:
            self._client.poll(0)  # serves the error callback and log lines
            if failures.are_final(begun):
                raise DependencyError(f"no Kafka broker at {self._settings.kafka.bootstrap_servers} answers "
                                      f"({failures.reason()})")  # fmt: skip
        self._client.poll(0)
        return answers


def cluster_metadata(
    settings: Settings,
    client: AdminClient | Consumer | Producer,
    topic: str | None = None,
    timeout_s: float | None = None,
    *,
    poll: bool = True,
) -> ClusterMetadata:
    """`list_topics` of any client, ended as soon as it is known why no broker can be reached. Raises DependencyError.

    `timeout_s`: ADMIN_TIMEOUT_S unless told. `poll` serves the client's callbacks in this thread; without, another
    thread has to.
    """
    begun = time.monotonic()
    deadline = begun + (ADMIN_TIMEOUT_S if timeout_s is None else timeout_s)
    failures = failures_of(settings.kafka.bootstrap_servers)
    try_s = FIRST_TRY_S
    while True:
        tried_at = time.monotonic()
        left_s = deadline - tried_at
        try:
            wait_s = max(0.01, min(try_s, left_s))
            return client.list_topics(timeout=wait_s) if topic is None else client.list_topics(topic, timeout=wait_s)
        except KafkaException as caught:
            error = caught
        finally:
            if poll:
                client.poll(0)  # serves the error callback and log lines
        if left_s <= try_s or failures.are_final(begun):
            raise unreachable(settings, error)
        time.sleep(max(0.0, tried_at + FIRST_TRY_S - time.monotonic()))  # a connection that breaks fails at once
        try_s *= 2


def missing_topics(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those of the topics that the cluster does not have. Raises DependencyError if no broker answers."""
    found = KafkaAdmin(settings).metadata().topics
    return [name for name in names if name not in found]


def check_topics(settings: Settings, names: Iterable[str]) -> None:
    """Raises DependencyError, saying which command makes them, if a topic is missing or no broker answers."""
    if missing := missing_topics(settings, names):
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {' and no '.join(missing)}; "
            "`sternpost topics create` makes what is missing"
        )
