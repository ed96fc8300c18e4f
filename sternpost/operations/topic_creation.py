"""Create topics: all of them or none, and a refusal says which setting to change.

Clusters differ in what they accept. Managed ones limit sizes and forbid settings, even at their default
(https://github.com/confluentinc/ksql/issues/8479). A `create.topic.policy.class.name` may refuse for any reason, with a
message that need not name a setting. So the cluster validates the topics first, without creating them. If it refuses
one, it is asked about each setting alone.
"""

from collections.abc import Sequence

from runtime.errors import DependencyError, KafkaRequestError
from runtime.kafka.admin import KafkaAdmin, NewTopic
from runtime.kafka.errors import UNAVAILABLE_NAMES
from runtime.settings.model import Settings
from sternpost.operations.changes_allowed import ChangesAllowed, require

CLUSTER_DEFAULT = -1
"""As replication factor or number of partitions, the cluster's default.

https://cwiki.apache.org/confluence/display/KAFKA/KIP-464%3A+Defaults+for+AdminClient%23createTopic
"""


def new_topic(settings: Settings, name: str, config: dict[str, str], partitions: int | None = None) -> NewTopic:
    """Return a topic as the settings describe it, without the configuration in `topics.omit_configs`."""
    topics = settings.topics
    kept = {key: value for key, value in config.items() if key not in topics.omit_configs}
    return NewTopic(name, partitions or topics.partitions, topics.replication_factor, config=kept)


def create(settings: Settings, allowed: ChangesAllowed | None, wanted: Sequence[NewTopic]) -> list[str]:
    """Create the topics and return the names of those created; one that exists by then is not among them.

    Raises DependencyError if the cluster refuses one, and then creates none, unless it refuses after it validated all.
    Raises ChangesNotAllowedError.
    """
    require(allowed, "create topics")
    admin = KafkaAdmin(settings)
    for topic, reason in _submit(admin, wanted, validate_only=True):
        raise _refused(settings, admin, topic, reason)
    refused = _submit(admin, wanted)
    created = [topic.topic for topic in wanted if topic not in [other for other, _ in refused]]
    for topic, reason in refused:
        error = _refused(settings, admin, topic, reason)
        made = f"; {', '.join(created)} was created before" if created else ""
        raise DependencyError(f"{error.problem}{made}", error.remedy)
    return created


def _submit(
    admin: KafkaAdmin, topics: Sequence[NewTopic], *, validate_only: bool = False
) -> list[tuple[NewTopic, KafkaRequestError]]:
    """Create topics and return those that the cluster refuses; one that exists already is not among them."""
    refused = admin.create_topics(topics, validate_only=validate_only)
    return [
        (topic, refused[topic.topic])
        for topic in topics
        if topic.topic in refused and refused[topic.topic].name != "TOPIC_ALREADY_EXISTS"
    ]


def _refused(settings: Settings, admin: KafkaAdmin, topic: NewTopic, reason: KafkaRequestError) -> DependencyError:
    """Return the error that names the setting at fault, as far as it can be found."""
    if reason.name.endswith("AUTHORIZATION_FAILED") or reason.name in UNAVAILABLE_NAMES:
        return reason
    problem = f"the cluster does not create the topic {topic.topic}"
    said = reason.detail.rstrip(".")
    if reason.name == "INVALID_REPLICATION_FACTOR":
        return _replication(settings, admin, f"{problem} ({said})")
    if reason.name == "INVALID_PARTITIONS":
        return DependencyError(f"{problem} with {topic.num_partitions} partitions ({said})", "change topics.partitions")
    bare = NewTopic(topic.topic, topic.num_partitions, topic.replication_factor)
    if not _takes(admin, bare):
        return _placement(settings, admin, topic, f"{problem} ({said})")
    config = topic.config or {}
    culprits = {
        key: value
        for key, value in config.items()
        if not _takes(admin, NewTopic(topic.topic, topic.num_partitions, topic.replication_factor, config={key: value}))
    } or config
    values = ", ".join(f"{key}={value}" for key, value in culprits.items())
    ours = sorted({setting for key in culprits if (setting := _setting(settings, topic.topic, key))})
    names = ", ".join(f'"{key}"' for key in culprits)
    change = f"change {' and '.join(ours)}, or leave" if ours else "leave"
    return DependencyError(
        f"{problem} with {values} ({said})", f"{change} it to the cluster: --set 'topics.omit_configs=[{names}]'"
    )


def _replication(settings: Settings, admin: KafkaAdmin, problem: str) -> DependencyError:
    wanted, brokers = settings.topics.replication_factor, len(admin.metadata().brokers)
    there = f"the cluster has {brokers} broker{'' if brokers == 1 else 's'}"
    if brokers == 1:
        remedy = (
            "set topics.replication_factor and topics.min_insync_replicas to 1 "
            "(--replication-factor 1 --min-insync-replicas 1); what is written is then on one disk alone"
        )
    elif wanted > brokers:
        remedy = f"set topics.replication_factor to at most {brokers}, and topics.min_insync_replicas no higher"
    else:
        remedy = "set topics.replication_factor to what the cluster wants; -1 takes its own"
    return DependencyError(f"{problem}: {there}, and topics.replication_factor is {wanted}", remedy)


def _placement(settings: Settings, admin: KafkaAdmin, topic: NewTopic, problem: str) -> DependencyError:
    """Return the error for a topic that is refused whatever its configuration."""
    topics = settings.topics
    if _takes(admin, NewTopic(topic.topic, topic.num_partitions, CLUSTER_DEFAULT)):
        return DependencyError(
            f"{problem} with topics.replication_factor {topics.replication_factor}",
            "set topics.replication_factor to what the cluster wants; -1 takes its own",
        )
    if _takes(admin, NewTopic(topic.topic, CLUSTER_DEFAULT, topic.replication_factor)):
        return DependencyError(f"{problem} with {topic.num_partitions} partitions", "change topics.partitions")
    return DependencyError(
        problem, "change topics.partitions, topics.replication_factor or the topic's name as the cluster wants them"
    )


def _takes(admin: KafkaAdmin, topic: NewTopic) -> bool:
    return not _submit(admin, [topic], validate_only=True)


def _setting(settings: Settings, topic: str, key: str) -> str | None:
    """Return our setting that a topic's configuration comes from; None if no setting changes it."""
    topics = settings.topics
    return {
        "max.message.bytes": "ingest.max_body_bytes",
        "min.insync.replicas": "topics.min_insync_replicas",
        "retention.ms": {
            topics.raw: "topics.raw_retention_ms",
            topics.dead_letters: "topics.dead_letters_retention_ms",
        }.get(topic, "topics.events_retention_ms"),
    }.get(key)
