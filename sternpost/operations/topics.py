"""Create and check the three topics."""

import time
from typing import Any, NamedTuple

from runtime.errors import KafkaRequestError
from runtime.kafka.admin import TIMEOUT_S, KafkaAdmin, ResourceType, missing_topics
from runtime.kafka.config import topic_configs
from runtime.settings.model import Settings
from sternpost.operations import described_configs, topic_creation, topic_forms
from sternpost.operations.changes_allowed import ChangesAllowed, require
from sternpost.operations.severity import Severity

AT_LEAST = {"max.message.bytes", "min.insync.replicas", "retention.ms"}
"""Settings of a topic that may be higher than ours; the others must be equal."""

UNIMPORTANT = {"compression.type"}
"""Settings that a cluster's owner may choose, since nothing here depends on them."""

ENOUGH_BROKERS = 3
"""From so many on, a cluster has room for the default number of copies."""

ASK = "have this user granted what `sternpost acls --role provisioning` prints, or check it with a user who may"


class Finding(NamedTuple):
    """One thing about a topic that is wrong, or that may be."""

    topic: str
    problem: str
    remedy: str
    severity: Severity = Severity.FAULT

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON for scripts."""
        return {"topic": self.topic, "problem": self.problem, "mend": self.remedy, "severity": self.severity}


def names(settings: Settings) -> list[str]:
    """Return the topics in the order in which events pass them."""
    return [settings.topics.raw, settings.topics.events, settings.topics.dead_letters]


def create(settings: Settings, allowed: ChangesAllowed | None) -> list[str]:
    """Create the topics that are missing, all or none, and return their names. Existing topics are not changed.

    Raises DependencyError if the cluster cannot be reached or refuses, naming the setting to change, and
    ChangesNotAllowedError.
    """
    require(allowed, "create topics")
    missing = missing_topics(settings, names(settings))
    if not missing:
        return []
    configs = topic_configs(settings)
    created = topic_creation.create(
        settings, allowed, [topic_creation.new_topic(settings, name, configs[name]) for name in missing]
    )
    deadline = time.monotonic() + TIMEOUT_S
    while missing_topics(settings, missing) and time.monotonic() < deadline:
        time.sleep(0.05)  # brokers learn of a topic a moment after the controller
    return created


def as_text(settings: Settings, form: topic_forms.Form) -> str:
    """Return all topics in a form for another tool. Asks no cluster."""
    configs = topic_configs(settings)
    wanted = [topic_creation.new_topic(settings, name, configs[name]) for name in names(settings)]
    return topic_forms.render(form, wanted, kafka_tool(settings, "kafka-topics"))


def remove(settings: Settings, allowed: ChangesAllowed | None) -> None:
    """Delete the topics with all of their records. Raises ChangesNotAllowedError."""
    require(allowed, "delete topics")
    KafkaAdmin(settings).delete_topics(names(settings))


def check(settings: Settings) -> list[Finding]:
    """Return what is wrong with the topics, or unknown about them. Raises DependencyError if no broker answers."""
    admin = KafkaAdmin(settings)
    cluster = admin.metadata()
    found = cluster.topics
    there = [name for name in names(settings) if name in found]
    told, refused = admin.describe_configs(ResourceType.TOPIC, there)
    for reason in refused.values():
        if not described_configs.does_not_tell(reason) and not described_configs.is_denied(reason):
            raise reason

    findings = [_missing(admin, name) for name in names(settings) if name not in found]
    for name in there:
        if name in refused and described_configs.is_denied(refused[name]):
            problem = "this user may not see its settings"
            findings.append(Finding(name, problem, f"{ASK} (DescribeConfigs on the topic)", Severity.WARNING))
        else:
            findings += _config_findings(settings, name, told.get(name, {}))
        copies = [len(partition.replicas) for partition in found[name].partitions.values()]
        findings += _replica_findings(settings, name, min(copies, default=None), len(cluster.brokers))
    findings += _partition_findings(settings, {name: len(found[name].partitions) for name in there})
    return findings


def _missing(admin: KafkaAdmin, name: str) -> Finding:
    """Return what it means that the cluster does not list a topic: a user who may not see it is told nothing of it."""
    try:
        admin.describe_topic(name)
    except KafkaRequestError as error:
        if described_configs.is_denied(error):
            problem = "this user may not see whether it exists"
            return Finding(name, problem, f"{ASK} (Describe on the topic)", Severity.WARNING)
    return Finding(name, "it does not exist", "`sternpost topics create`")


def _config_findings(settings: Settings, name: str, told: described_configs.Configs) -> list[Finding]:
    findings, untold = [], []
    for key, wanted in topic_configs(settings)[name].items():
        if key in UNIMPORTANT:
            continue
        should_be = f"{'at least ' if key in AT_LEAST else ''}{wanted}"
        if key not in told or (key in AT_LEAST and described_configs.int_or_none(told, key) is None):
            untold.append(f"{key} (should be {should_be})")
        elif not _is_enough(key, told[key], wanted):
            problem = f"{key} is {told[key]}, and should be {should_be}"
            remedy = alter_command(settings, name, key, wanted)
            if key in settings.topics.omit_configs:
                problem += "; it was left to the cluster (topics.omit_configs)"
                findings.append(Finding(name, problem, remedy, Severity.WARNING))
            else:
                findings.append(Finding(name, problem, remedy))
    if untold:
        remedy = "see the cluster's own documentation or console for what holds there"
        findings.append(Finding(name, f"this cluster does not tell its {', '.join(untold)}", remedy, Severity.WARNING))
    return findings


def _replica_findings(settings: Settings, name: str, replicas: int | None, brokers: int) -> list[Finding]:
    topics = settings.topics
    if replicas is None:
        remedy = "see whether the brokers are well: `sternpost doctor`"
        return [Finding(name, "this cluster does not tell its partitions", remedy, Severity.WARNING)]
    wanted = topics.wanted_replicas
    if replicas >= wanted:
        if replicas > 1 or brokers < ENOUGH_BROKERS:
            return []
        # As the settings want it; they may be left over from a single broker.
        problem = f"it has one copy of each record, on a cluster of {brokers} brokers: a lost disk is lost records"
        remedy = (
            "set topics.replication_factor to 3 and topics.min_insync_replicas to 2; `sternpost topics check` then "
            "says what to change on the topic"
        )
        return [Finding(name, problem, remedy, Severity.WARNING)]
    own = topics.replication_factor < 0
    which = "topics.min_insync_replicas" if own else "topics.replication_factor"
    return [
        Finding(
            name,
            f"it has {replicas} replicas, and should have {'at least ' if own else ''}{wanted}",
            f"kafka-reassign-partitions, or lower {which} if that is meant",
        )
    ]


def retention_ms(settings: Settings, topic: str) -> int | None:
    """Return how long brokers keep a record, in milliseconds from its own timestamp; -1 means for ever.

    Returns None if it is unknown: the topic is missing, this user may not see its settings, or the cluster does not
    list it.
    """
    told, _ = KafkaAdmin(settings).describe_configs(ResourceType.TOPIC, [topic])
    return described_configs.int_or_none(told.get(topic, {}), "retention.ms")


def kafka_tool(settings: Settings, name: str) -> str:
    """Return the beginning of a shell command with one of Kafka's own tools."""
    secured = " --command-config admin.properties" if settings.kafka.properties or settings.kafka.msk_iam_region else ""
    return f"{name} --bootstrap-server {settings.kafka.bootstrap_servers}{secured}"


def alter_command(settings: Settings, topic: str, key: str, value: object) -> str:
    """Return the shell command that sets a topic's setting."""
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
