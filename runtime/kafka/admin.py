"""Topics, configurations, groups, offsets and ACLs, by one client that is kept until its answers are there; retries."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ConsumerGroupDescription,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    TopicDescription,
)

from runtime.errors import DependencyError, KafkaRequestError
from runtime.kafka.clients import make_admin
from runtime.kafka.errors import RETRIED_ERRORS, failures_of, request_error, unreachable
from runtime.settings.model import Settings

__all__ = [
    "AclBinding",
    "AclOperation",
    "AclPermissionType",
    "ClusterMetadata",
    "ConsumerGroupState",
    "KafkaAdmin",
    "NewTopic",
    "ResourcePatternType",
    "ResourceType",
    "check_topics",
    "cluster_metadata",
    "missing_topics",
]

TIMEOUT_S = 15
"""How long a request may take, with its repetitions."""

TRY_S, PAUSE_S = 3, 0.1

FIRST_TRY_S = 0.25
"""Each further try takes twice as long: between two, a client says why brokers are unreachable."""

FROM_BEGINNING, FROM_END = -2, -1
"""librdkafka's logical offsets."""

K = TypeVar("K")
T = TypeVar("T")


class KafkaAdmin:
    """The admin client.

    librdkafka fails every request of a client that was collected before it was answered; so each method returns only
    when its answers are there. Each raises KafkaRequestError if the brokers refuse, and DependencyError with the reason
    if none can be reached.
    """

    def __init__(self, settings: Settings) -> None:
        """Make the client, without connecting. Raises ConfigurationError."""
        self._settings = settings
        self._client = make_admin(settings)

    def metadata(self, topic: str | None = None, timeout_s: float | None = None) -> ClusterMetadata:
        """Return the brokers and all topics, or one topic."""
        return cluster_metadata(self._settings, self._client, topic, timeout_s)

    def create_topics(self, topics: Sequence[NewTopic], *, validate_only: bool = False) -> dict[str, KafkaRequestError]:
        """Create topics, or only ask whether they could be; return those that were refused, by name."""
        limits = {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}
        asked = self.ask(lambda client: client.create_topics(list(topics), **limits, validate_only=validate_only))
        return self._refused(asked)

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics."""
        limits = {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}
        self._results(self.ask(lambda client: client.delete_topics(list(names), **limits)))

    def create_partitions(self, topic: str, total: int) -> None:
        """Increase the topic's number of partitions to `total`."""
        limits = {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}
        self._results(self.ask(lambda client: client.create_partitions([NewPartitions(topic, total)], **limits)))

    def describe_topic(self, topic: str) -> TopicDescription:
        """Return the topic's id and partitions."""
        return self._describe_topic(topic, rights=False)

    def rights_on_topic(self, topic: str) -> list[AclOperation] | None:
        """Return what this user may do on the topic; None if the cluster does not tell."""
        rights: Any = self._describe_topic(topic, rights=True).authorized_operations  # annotated as never None
        return rights  # type: ignore[no-any-return]

    def _describe_topic(self, topic: str, *, rights: bool) -> TopicDescription:
        asked = self.ask(
            lambda client: client.describe_topics(
                TopicCollection([topic]), include_authorized_operations=rights, request_timeout=TIMEOUT_S
            )
        )
        found: TopicDescription = self._results(asked)[topic]
        return found

    def describe_configs(
        self, kind: ResourceType, names: Iterable[str]
    ) -> tuple[dict[str, dict[str, str]], dict[str, KafkaRequestError]]:
        """Return the configurations that the cluster tells, by resource name, and the refusals for the others."""
        told: dict[str, dict[str, str]] = {}
        refused: dict[str, KafkaRequestError] = {}
        for name in names:  # one a call: the client takes one broker at a time
            try:
                [entries] = self._results(self.ask(self._config_request(ConfigResource(kind, name)))).values()
            except KafkaRequestError as error:
                refused[name] = error
            else:
                told[name] = {key: str(entry.value) for key, entry in entries.items() if entry.value is not None}
        return told, refused

    def describe_group(self, group: str, *, once: bool = False) -> ConsumerGroupDescription:
        """Return the group's state and members; `once` does not ask again if there is no answer.

        A request that gets none may abort the process (https://github.com/confluentinc/librdkafka/issues/4605).
        """

        def ask(wait_s: int) -> "dict[str, Future[ConsumerGroupDescription]]":
            return self.ask(lambda client: client.describe_consumer_groups([group], request_timeout=wait_s))

        try:
            return ask(TIMEOUT_S)[group].result() if once else gather_with_retry(ask)[group]
        except KafkaException as error:
            raise unreachable(self._settings, error) from None

    def offsets(self, topic: str, wanted: Mapping[int, int], *, stable: bool = True) -> dict[int, int]:
        """Return an offset for each partition, by what `wanted` has for it.

        FROM_BEGINNING; FROM_END, which is the last stable offset if `stable`, else the high watermark; or a time in
        milliseconds since the Unix epoch, for the first record then or later: -1 if there is none so late.
        """
        if not wanted:
            return {}
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        asked = {TopicPartition(topic, partition): _offset_spec(at) for partition, at in wanted.items()}
        try:
            found = gather_with_retry(
                lambda wait_s: self.ask(
                    lambda client: client.list_offsets(asked, isolation_level=level, request_timeout=wait_s)
                )
            )
        except KafkaException as error:
            raise unreachable(self._settings, error) from None
        return {at.partition: result.offset for at, result in found.items()}

    def create_acls(self, bindings: Sequence[AclBinding]) -> None:
        """Add ACLs; those that are there already stay."""
        self._results(self.ask(lambda client: client.create_acls(list(bindings), request_timeout=TIMEOUT_S)))

    def describe_acls(self) -> list[AclBinding]:
        """Return all ACLs; none if no authorizer is on, which the client does not tell from an error."""
        everything = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]
            ResourcePatternType.ANY,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        asked = self.ask(lambda client: {"acls": client.describe_acls(everything, request_timeout=TIMEOUT_S)})
        found: list[AclBinding] = self._results(asked)["acls"]
        return found

    def ask(self, question: Callable[[AdminClient], Mapping[K, "Future[T]"]]) -> dict[K, "Future[T]"]:
        """Return a request's answers once all of them are there. Prefer the methods above.

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

    def _results(self, answers: Mapping[K, "Future[T]"]) -> dict[K, T]:
        try:
            return {of: answer.result() for of, answer in answers.items()}
        except KafkaException as error:
            raise unreachable(self._settings, error) from None

    def _refused(self, answers: Mapping[K, "Future[Any]"]) -> dict[K, KafkaRequestError]:
        refused: dict[K, KafkaRequestError] = {}
        for of, answer in answers.items():
            try:
                answer.result()
            except KafkaException as error:
                refused[of] = unreachable(self._settings, error)
        return refused

    @staticmethod
    def _config_request(resource: ConfigResource) -> Callable[[AdminClient], dict[ConfigResource, "Future[Any]"]]:
        return lambda client: client.describe_configs([resource], request_timeout=TIMEOUT_S)


def gather_with_retry(ask: Callable[[int], Mapping[K, "Future[T]"]]) -> dict[K, T]:
    """Send an admin request, retry it as `retry_transient` does, and return its results.

    `ask` takes the seconds to wait for an answer. Raises KafkaException.
    """
    return retry_transient(lambda: {of: future.result() for of, future in ask(TRY_S).items()})


def retry_transient(call: Callable[[], T]) -> T:
    """Repeat the call for up to TIMEOUT_S seconds while it fails with one of RETRIED_ERRORS. Raises KafkaException."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in RETRIED_ERRORS or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)


def _offset_spec(at: int) -> OffsetSpec:
    if at == FROM_BEGINNING:
        return OffsetSpec.earliest()  # type: ignore[no-untyped-call, no-any-return]
    if at == FROM_END:
        return OffsetSpec.latest()  # type: ignore[no-untyped-call, no-any-return]
    return OffsetSpec.for_timestamp(at)  # type: ignore[no-any-return]


def cluster_metadata(
    settings: Settings,
    client: AdminClient | Consumer | Producer,
    topic: str | None = None,
    timeout_s: float | None = None,
    *,
    poll: bool = True,
) -> ClusterMetadata:
    """Return the cluster's metadata, through any client.

    `timeout_s` is TIMEOUT_S by default. `poll` serves the client's callbacks in this thread; without it, another
    thread has to. Raises DependencyError as soon as it is known why no broker can be reached.
    """
    begun = time.monotonic()
    deadline = begun + (TIMEOUT_S if timeout_s is None else timeout_s)
    failures = failures_of(settings.kafka.bootstrap_servers)
    try_s = FIRST_TRY_S
    while True:
        tried_at = time.monotonic()
        left_s = deadline - tried_at
        try:
            wait_s = max(0.01, min(try_s, left_s))
            return client.list_topics(timeout=wait_s) if topic is None else client.list_topics(topic, timeout=wait_s)
        except KafkaException as error:
            reason = error.args[0]  # without its traceback, whose frames would keep the client
        finally:
            if poll:
                client.poll(0)  # serves the error callback and log lines
        if left_s <= try_s or failures.are_final(begun):
            raise request_error(settings, reason)
        time.sleep(max(0.0, tried_at + FIRST_TRY_S - time.monotonic()))  # a connection that breaks fails at once
        try_s *= 2


def missing_topics(settings: Settings, names: Iterable[str]) -> list[str]:
    """Return those of the topics that the cluster does not have. Raises DependencyError if no broker answers."""
    found = KafkaAdmin(settings).metadata().topics
    return [name for name in names if name not in found]


def check_topics(settings: Settings, names: Iterable[str]) -> None:
    """Check that the topics exist.

    Raises DependencyError if one is missing, naming the command that creates it, or if no broker answers.
    """
    if missing := missing_topics(settings, names):
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {' and no '.join(missing)}; "
            "`sternpost topics create` makes what is missing"
        )
