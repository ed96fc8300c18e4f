"""The brokers: reachable, of a version that will do, and set up for transactions that survive a lost broker."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING

from runtime.errors import DependencyError
from runtime.kafka import ADMIN_TIMEOUT_S, admin_client, unreachable
from runtime.settings import Settings
from sternpost import topics
from sternpost.doctor.check import Check, fault, ok, skipped, warning

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata

OLDEST_LIBRDKAFKA = (2, 10)
"""Before it, a commit during a rebalance could lose the assignment."""

RETRY_DAYS = 7
"""How long Customer.io sends an event again; a group idle for longer than its offsets are kept starts from scratch."""

Configs = dict[int, dict[str, str]]
"""By broker: the settings that it says it has."""


def metadata(settings: Settings) -> "ClusterMetadata":
    """Raises DependencyError where no broker answers."""
    from confluent_kafka import KafkaException

    try:
        return admin_client(settings).list_topics(timeout=ADMIN_TIMEOUT_S)
    except KafkaException as error:
        raise unreachable(settings, error) from None


def check(settings: Settings, found: "ClusterMetadata", configs: Configs, problem: str) -> Iterator[Check]:
    """Everything about the brokers; `found` is what `metadata` gave, the rest what `broker_configs` did."""
    yield _clients()
    yield from _brokers(found, configs)
    yield _version(configs, problem)
    yield from _internal_topics(settings, found)
    if not any(configs.values()):
        yield skipped("broker settings", problem, "`sternpost acls --role provisioning` has the right that it takes")
    else:
        faults = list(_settings(settings, configs))
        yield from faults or [ok("broker settings", "right for transactions, groups and their time-outs")]
    yield from _replicas(settings, found)


def check_topics(settings: Settings) -> Iterator[Check]:
    """The three topics, as `sternpost topics check` has it."""
    try:
        findings = topics.check(settings)
    except DependencyError as error:
        yield skipped("topics", f"their settings cannot be seen: {error}")
        return
    for finding in findings:
        yield fault("topics", f"{finding.topic}: {finding.problem}", finding.mend)
    if not findings:
        yield ok("topics", f"{', '.join(topics.names(settings))} are as they should be")


def _clients() -> Check:
    from confluent_kafka import libversion, version

    text, number = libversion()
    have = (number >> 24, (number >> 16) & 0xFF)
    detail = f"confluent-kafka {version()}, librdkafka {text}"
    if have < OLDEST_LIBRDKAFKA:
        return fault("client version", detail, "install confluent-kafka 2.10 or later")
    return ok("client version", detail)


def broker_configs(settings: Settings, brokers: list[int]) -> tuple[Configs, str]:
    """Each broker's own answer, empty where it gives none, and what the last of those said instead."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigEntry, ConfigResource, ResourceType

    admin = admin_client(settings)  # kept: its futures fail once it is collected
    asked: dict[ConfigResource, Future[dict[str, ConfigEntry]]] = {}
    for broker in brokers:  # the client takes one broker a call
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        asked |= admin.describe_configs([resource], request_timeout=ADMIN_TIMEOUT_S)
    configs: Configs = {}
    problem = ""
    for resource, future in asked.items():
        try:
            configs[int(resource.name)] = {name: str(entry.value) for name, entry in future.result().items()}
        except KafkaException as error:
            configs[int(resource.name)] = {}
            problem = error.args[0].str()
    return configs, problem


def _brokers(found: "ClusterMetadata", configs: Configs) -> Iterator[Check]:
    silent = sorted(broker for broker, config in configs.items() if not config)
    where = ", ".join(str(broker) for broker in sorted(found.brokers))
    if silent and len(silent) < len(configs):
        yield fault(
            "brokers",
            f"brokers {', '.join(map(str, silent))} do not answer from here, the others do",
            "start them, or let this machine reach every broker at the address that it advertises "
            "(advertised.listeners)",
        )
    else:
        yield ok("brokers", f"cluster {found.cluster_id}: brokers {where} answer")


def _version(configs: Configs, problem: str) -> Check:
    known = next((config for config in configs.values() if config), None)
    if known is None:
        return skipped("broker version", f"it cannot be seen: {problem}")
    old = known.get("inter.broker.protocol.version")
    if old is None:
        return ok("broker version", "Kafka 4.0 or later")
    numbers = [int(part) for part in old.split("-")[0].split(".")[:2] if part.isdigit()]
    if numbers < [2, 5]:
        return fault("broker version", f"protocol {old}", "transactions of a consumer group need Kafka 2.5 or later")
    return ok("broker version", f"protocol {old}")


def _internal_topics(settings: Settings, found: "ClusterMetadata") -> Iterator[Check]:
    """Where the transactions and the group's offsets are kept."""
    wanted = settings.topics.replication_factor
    for name, holds, setting in (
        ("__transaction_state", "transactions", "transaction.state.log.replication.factor"),
        ("__consumer_offsets", "offsets", "offsets.topic.replication.factor"),
    ):
        topic = found.topics.get(name)
        if topic is None:
            yield skipped(f"state of {holds}", f"{name} is not there yet, or may not be seen", "")
            continue
        replicas = min(len(partition.replicas) for partition in topic.partitions.values())
        if replicas < wanted:
            yield fault(
                f"state of {holds}",
                f"{name} has {replicas} replicas, and should have {wanted} like the topics: with a broker lost, "
                "nothing commits",
                f"kafka-reassign-partitions for {name}, and {setting}={wanted} on the brokers",
            )
        else:
            yield ok(f"state of {holds}", f"{name} has {replicas} replicas")


def _settings(settings: Settings, configs: Configs) -> Iterator[Check]:
    replicas, in_sync = settings.topics.replication_factor, settings.topics.min_insync_replicas
    session, transaction = settings.processor.session_timeout_ms, settings.processor.transaction_timeout_ms
    at_least = {
        "transaction.state.log.replication.factor": (replicas, "fault"),
        "transaction.state.log.min.isr": (in_sync, "fault"),
        "offsets.topic.replication.factor": (replicas, "fault"),
        "transaction.max.timeout.ms": (transaction, "fault"),
        "group.max.session.timeout.ms": (session, "fault"),
        "offsets.retention.minutes": (RETRY_DAYS * 24 * 60, "warning"),
    }
    for broker, config in sorted(configs.items()):
        for name, (wanted, severity) in at_least.items():
            if name in config and int(config[name]) < wanted:
                say = fault if severity == "fault" else warning
                detail = f"broker {broker}: {name} is {config[name]}, and should be at least {wanted}"
                yield say("broker settings", detail, f"set {name}={wanted} in server.properties")
        shortest = config.get("group.min.session.timeout.ms")
        if shortest is not None and int(shortest) > session:
            yield fault(
                "broker settings",
                f"broker {broker}: group.min.session.timeout.ms is {shortest}, above processor.session_timeout_ms",
                f"raise processor.session_timeout_ms to {shortest} or more",
            )


def _replicas(settings: Settings, found: "ClusterMetadata") -> Iterator[Check]:
    ours = [found.topics[name] for name in topics.names(settings) if name in found.topics]
    leaderless: list[str] = []
    missing: dict[int, list[str]] = {}
    for topic in ours:
        for number, partition in sorted(topic.partitions.items()):
            name = f"{topic.topic} {number}"
            if partition.leader < 0:
                leaderless.append(name)
            for broker in set(partition.replicas) - set(partition.isrs):
                missing.setdefault(broker, []).append(name)
    for broker, names in sorted(missing.items()):
        down = broker not in found.brokers
        yield warning(
            "replicas",
            f"broker {broker} {'is down' if down else 'is behind'}, with replicas of {', '.join(names)}",
            f"start broker {broker} before another one goes" if down else f"see why broker {broker} is slow",
        )
    if leaderless:
        yield fault("replicas", f"no leader: {', '.join(leaderless)}", "start the brokers that hold them")
    if ours and not leaderless and not missing:
        yield ok("replicas", "every partition has a leader and all of its replicas")
