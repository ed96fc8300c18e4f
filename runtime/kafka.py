"""Kafka client configuration: one place for what every client shares, and for the sizes that must fit one another."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.errors import ConfigurationError, DependencyError
from runtime.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

HEADROOM_BYTES = 65_536
"""Room for headers, framing, and what the broker adds to a batch."""

RAW_EXPANSION = 2
"""A raw record holds a body as its value, and two different parts of it as its key (a person's id) and as its
`event_id` header: no byte of a body more than twice."""

EVENT_EXPANSION = 3
"""An event's record holds no byte of its body more than three times: an email can be `context.traits.email`,
`anonymousId` and the record's key. tests/unit/processor/test_sizes.py holds this bound and the one of raw records."""

ADMIN_TIMEOUT_S = 15


class RecordLimits(NamedTuple):
    """Largest records, in bytes, by construction: what was accepted fits everywhere downstream."""

    raw: int
    events: int
    dead_letters: int


def record_limits(settings: Settings) -> RecordLimits:
    """`max.message.bytes` of each topic, and `message.max.bytes` of the producers, from `ingest.max_body_bytes`."""
    body = settings.ingest.max_body_bytes
    raw = RAW_EXPANSION * body + HEADROOM_BYTES
    return RecordLimits(raw=raw, events=EVENT_EXPANSION * body + HEADROOM_BYTES, dead_letters=raw + HEADROOM_BYTES)


def client_config(settings: Settings, **ours: object) -> dict[str, Any]:
    """For any client: the brokers and `kafka.properties`.

    `ours` (`**{"acks": "all"}`) are what correctness stands on: setting one of them otherwise in `kafka.properties`
    raises ConfigurationError.
    """
    properties = settings.kafka.properties
    for name in ours.keys() & properties.keys():
        if properties[name].lower() != str(ours[name]).lower():
            raise ConfigurationError(
                f"kafka.properties sets {name}, which Sternpost sets to {ours[name]} itself; take it out"
            )
    return {
        "client.id": "sternpost",
        **properties,
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "logger": logging.getLogger("kafka"),
        **ours,
    }


def producer_config(settings: Settings, **ours: object) -> dict[str, Any]:
    """For a producer that loses, doubles and reorders nothing, and takes the largest record there can be."""
    limit = max(record_limits(settings))
    return client_config(settings, **{"acks": "all", "enable.idempotence": True, "message.max.bytes": limit, **ours})


def consumer_config(settings: Settings, **ours: object) -> dict[str, Any]:
    """For a consumer that sees committed records only, and keeps its offsets where we say."""
    fetch = max(52_428_800, *record_limits(settings))
    return client_config(
        settings,
        **{
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "fetch.max.bytes": fetch,
            "receive.message.max.bytes": fetch + 1_048_576,
            **ours,
        },
    )


def admin_client(settings: Settings) -> "AdminClient":
    """A client for topics, groups and offsets."""
    from confluent_kafka.admin import AdminClient

    return AdminClient(client_config(settings))


def missing_topics(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those of the topics that the cluster has not.

    Raises DependencyError where no broker answers.
    """
    from confluent_kafka import KafkaException

    try:
        found = admin_client(settings).list_topics(timeout=ADMIN_TIMEOUT_S).topics
    except KafkaException as error:
        raise unreachable(settings, error) from None
    return [name for name in names if name not in found]


def check_topics(settings: Settings, names: Iterable[str]) -> None:
    """Raises DependencyError, saying which command makes them, where a topic is missing or no broker answers."""
    if missing := missing_topics(settings, names):
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {' and no '.join(missing)}; "
            "`sternpost topics create` makes what is missing"
        )


def unreachable(settings: Settings, error: BaseException) -> DependencyError:
    """The error for a cluster that does not answer, or does not let us."""
    reason = error.args[0] if error.args else error
    detail = reason.str() if hasattr(reason, "str") else str(reason)
    if hasattr(reason, "name") and reason.name().endswith("AUTHORIZATION_FAILED"):
        return DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} does not let this user do that ({detail}); `sternpost acls` "
            "prints the rights that each role needs"
        )
    if hasattr(reason, "code") and reason.code() in slow():
        return DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} does not answer in time ({detail}): brokers are down, or "
            "have only just come back; `sternpost doctor` says which"
        )
    return DependencyError(
        f"no Kafka broker at {settings.kafka.bootstrap_servers} answers ({detail}); check kafka.bootstrap_servers, "
        "and kafka.properties where the cluster wants TLS or SASL"
    )


def moving() -> "tuple[int, ...]":
    """Errors of a leader or a coordinator that is not there, or has just moved to another broker."""
    from confluent_kafka import KafkaError

    return (
        *(KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION),
        *(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR),
    )


def slow() -> "tuple[int, ...]":
    """Errors of clusters of which a part answers."""
    from confluent_kafka import KafkaError

    return (
        *(KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT, KafkaError.NETWORK_EXCEPTION),
        *(KafkaError.BROKER_NOT_AVAILABLE, *moving()),
    )


def topic_configs(settings: Settings) -> Mapping[str, dict[str, str]]:
    """Configuration of each topic, by its name, as `sternpost topics` creates and checks it."""
    topics, limits = settings.topics, record_limits(settings)

    def config(limit: int, retention_ms: int) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "compression.type": "producer",
            "max.message.bytes": str(limit),
            "message.timestamp.type": "CreateTime",
            "min.insync.replicas": str(topics.min_insync_replicas),
            "retention.ms": str(retention_ms),
            "unclean.leader.election.enable": "false",
        }

    return {
        topics.raw: config(limits.raw, topics.raw_retention_ms),
        topics.events: config(limits.events, topics.events_retention_ms),
        topics.dead_letters: config(limits.dead_letters, topics.dead_letters_retention_ms),
    }
