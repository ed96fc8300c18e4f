"""Creates and checks the three topics."""

import time
from typing import NamedTuple

from runtime.errors import DependencyError
from runtime.kafka import ADMIN_TIMEOUT_S, admin_client, missing_topics, topic_configs, unreachable
from runtime.settings import Settings

AT_LEAST = {"max.message.bytes", "min.insync.replicas", "retention.ms"}
"""Settings of a topic that may be higher than ours; the others must be equal."""

UNIMPORTANT = {"compression.type"}
"""A cluster's owner may have views on these, and nothing here stands on them."""


class Finding(NamedTuple):
    """One thing about a topic that is not as it should be."""

    topic: str
    problem: str
    mend: str


def names(settings: Settings) -> list[str]:
    """The topics, in the order in which events pass them."""
    return [settings.topics.raw, settings.topics.events, settings.topics.dead_letters]


def create(settings: Settings) -> list[str]:
    """Creates those topics that are missing, and gives their names; existing ones are left as they are.

    Raises DependencyError where the cluster cannot be reached or refuses.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    missing = missing_topics(settings, names(settings))
    configs, topics = topic_configs(settings), settings.topics
    if not missing:
        return []
    wanted = [NewTopic(name, topics.partitions, topics.replication_factor, config=configs[name]) for name in missing]
    admin = admin_client(settings)  # kept: its futures fail once it is collected
    created = []
    for name, future in admin.create_topics(
        wanted, operation_timeout=ADMIN_TIMEOUT_S, request_timeout=ADMIN_TIMEOUT_S
    ).items():
        try:
            future.result()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # someone else was quicker
                continue
            hint = (
                "; the cluster has fewer brokers than that: lower topics.replication_factor"
                if reason.code() == KafkaError.INVALID_REPLICATION_FACTOR
                else ""
            )
            raise DependencyError(
                f"the topic {name} could not be created with {topics.partitions} partitions and replication factor "
                f"{topics.replication_factor}: {reason.str()}{hint}"
            ) from None
        created.append(name)
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    while missing_topics(settings, missing) and time.monotonic() < deadline:
        time.sleep(0.05)  # brokers learn of a topic a moment after the controller
    return created


def remove(settings: Settings) -> None:
    """Deletes the topics, and all that is in them."""
    admin = admin_client(settings)
    for future in admin.delete_topics(
        names(settings), operation_timeout=ADMIN_TIMEOUT_S, request_timeout=ADMIN_TIMEOUT_S
    ).values():
        future.result()


def check(settings: Settings) -> list[Finding]:
    """What is wrong with the topics, an empty list where nothing is.

    Raises DependencyError where no broker answers.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource, ResourceType

    admin = admin_client(settings)
    try:
        found = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        there = [name for name in names(settings) if name in found]
        asked = (
            admin.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name) for name in there], request_timeout=ADMIN_TIMEOUT_S
            )
            if there
            else {}
        )
        configs = {resource.name: future.result() for resource, future in asked.items()}
    except KafkaException as error:
        raise unreachable(settings, error) from None

    findings = [
        Finding(name, "it does not exist", "`sternpost topics create`") for name in names(settings) if name not in found
    ]
    for name in there:
        for key, wanted in topic_configs(settings)[name].items():
            actual = str(configs[name][key].value)
            if key not in UNIMPORTANT and not _is_enough(key, actual, wanted):
                relation = "at least " if key in AT_LEAST else ""
                findings.append(
                    Finding(
                        name,
                        f"{key} is {actual}, and should be {relation}{wanted}",
                        alter_command(settings, name, key, wanted),
                    )
                )
        replicas = min(len(partition.replicas) for partition in found[name].partitions.values())
        if replicas < settings.topics.replication_factor:
            findings.append(
                Finding(
                    name,
                    f"it has {replicas} replicas, and should have {settings.topics.replication_factor}",
                    "kafka-reassign-partitions, or lower topics.replication_factor if that is meant",
                )
            )
    findings += _partition_findings(settings, {name: len(found[name].partitions) for name in there})
    return findings


def retention_ms(settings: Settings, topic: str) -> int | None:
    """How long brokers keep the topic's records, counted from each record's own time; -1 for ever. None where they do
    not tell: the topic is missing, or this user may not see its settings."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource, ResourceType

    admin = admin_client(settings)  # kept: its futures fail once it is collected
    [asked] = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, topic)], request_timeout=ADMIN_TIMEOUT_S
    ).values()
    try:
        return int(str(asked.result()["retention.ms"].value))
    except KafkaException:
        return None


def kafka_tool(settings: Settings, name: str) -> str:
    """The beginning of a call of one of Kafka's own tools, for a shell."""
    secured = " --command-config admin.properties" if settings.kafka.properties else ""
    return f"{name} --bootstrap-server {settings.kafka.bootstrap_servers}{secured}"


def alter_command(settings: Settings, topic: str, key: str, value: object) -> str:
    """The call that sets a topic's setting."""
    tool = kafka_tool(settings, "kafka-configs")
    return f"{tool} --alter --entity-type topics --entity-name {topic} --add-config {key}={value}"


def _is_enough(key: str, actual: str, wanted: str) -> bool:
    if key not in AT_LEAST:
        return actual == wanted
    if key == "retention.ms" and "-1" in (actual, wanted):  # for ever
        return actual == "-1"
    return int(actual) >= int(wanted)


def _partition_findings(settings: Settings, partitions: dict[str, int]) -> list[Finding]:
    raw, events = settings.topics.raw, settings.topics.events
    if raw in partitions and events in partitions and partitions[events] < partitions[raw]:
        return [
            Finding(
                events,
                f"it has {partitions[events]} partitions, fewer than the {partitions[raw]} of {raw}",
                f"`sternpost topics grow --partitions {partitions[raw]}` (a person's later events may then go to "
                "another partition than the earlier ones)",
            )
        ]
    return []
