"""Kafka client configuration: one place for what every client shares, and for the sizes that must fit one another."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from runtime.kafka import properties
from runtime.settings.model import Settings

HEADROOM_BYTES = 65_536
"""Room for headers, framing and what the broker adds to a batch."""

CONSUMER_REQUEST_MS = 30_000
"""How long a consumer waits for an answer, and thus how long it hangs on a connection that went silent without a word.
As Java's clients do (https://kafka.apache.org/documentation/#consumerconfigs_request.timeout.ms); librdkafka's 60 s
kept partitions unread for a minute."""

RAW_EXPANSION = 2
"""A raw record holds a body as its value, and two different parts of it as its key (a person's id) and as its
`event_id` header: no byte of a body more than twice."""

EVENT_EXPANSION = 3
"""An event's record holds no byte of its body more than three times: an email can be `context.traits.email`,
`anonymousId` and the record's key. tests/unit/processor/test_sizes.py holds this bound and the one of raw records."""


Properties = Mapping[str, object]
"""librdkafka's properties by name."""


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


def client_config(settings: Settings, client: str) -> dict[str, Any]:
    """Return what every client gets: the brokers, the client id, and the part of `kafka.properties` that applies to it.

    `client` is `producer`, `consumer` or `admin`.
    """
    theirs = {name: value for name, value in settings.kafka.properties.items() if properties.is_for(name, client)}
    iam = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"} if settings.kafka.msk_iam_region else {}
    return {
        "client.id": "sternpost",
        **properties.overlay(iam, theirs),
        "bootstrap.servers": settings.kafka.bootstrap_servers,
    }


def producer_config(
    settings: Settings, fixed: Properties | None = None, defaults: Properties | None = None
) -> dict[str, Any]:
    """Return the configuration of a producer that does not lose, duplicate or reorder records, of any possible size.

    `kafka.properties` may override `defaults`, but not `fixed`.
    """
    limit = max(record_limits(settings))
    ours = {"acks": "all", "enable.idempotence": True, "message.max.bytes": limit, **(fixed or {})}
    return _merged(settings, "producer", ours, defaults or {})


def consumer_config(
    settings: Settings, fixed: Properties | None = None, defaults: Properties | None = None
) -> dict[str, Any]:
    """Return the configuration of a consumer that reads committed records only and commits no offsets by itself.

    `kafka.properties` may override `defaults`, but not `fixed`.
    """
    fetch = max(52_428_800, *record_limits(settings))
    ours = {
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.max.bytes": fetch,
        "receive.message.max.bytes": fetch + 1_048_576,
        **(fixed or {}),
    }
    return _merged(settings, "consumer", ours, {"socket.timeout.ms": CONSUMER_REQUEST_MS, **(defaults or {})})


def _merged(settings: Settings, client: str, fixed: Properties, defaults: Properties) -> dict[str, Any]:
    config = client_config(settings, client)
    taken = {properties.canonical(name) for name in config}
    free = {name: value for name, value in defaults.items() if properties.canonical(name) not in taken}
    ours = {properties.canonical(name) for name in fixed}
    kept = {name: value for name, value in config.items() if properties.canonical(name) not in ours}
    return {**kept, **free, **fixed}


def for_service(settings: Settings, service: str) -> Settings:
    """Return the settings with `ingest.` or `processor.kafka_properties` laid over `kafka.properties`."""
    own = settings.ingest.kafka_properties if service == "ingest" else settings.processor.kafka_properties
    kafka = settings.kafka.model_copy(update={"properties": properties.overlay(settings.kafka.properties, own)})
    return settings.model_copy(update={"kafka": kafka})


def topic_configs(settings: Settings) -> Mapping[str, dict[str, str]]:
    """Return the configuration of each topic, by name, as `sternpost topics` creates and checks it."""
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
