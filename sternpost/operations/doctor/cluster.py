"""Check that the brokers answer, are recent enough, and are configured for transactions that survive a lost broker."""

from collections.abc import Callable, Iterator
from typing import cast

from runtime.errors import DependencyError
from runtime.kafka.admin import ClusterMetadata, KafkaAdmin, ResourceType
from runtime.kafka.clients import client_version
from runtime.settings.model import GroupProtocol, Settings
from sternpost.operations import described_configs, topics
from sternpost.operations.doctor.check import Check, fault, ok, skipped, warning
from sternpost.operations.severity import Severity

OLDEST_KAFKA = [3, 0]
"""The oldest version of `make kafka-versions`."""

OLDEST_LIBRDKAFKA = (2, 13)
"""confluent-kafka 2.13 serves token callbacks without a poll; before 2.10, a commit during a rebalance could lose the
assignment."""

RETRY_DAYS = 7
"""How long Customer.io retries (https://docs.customer.io/integrations/api/webhooks). Offsets of a group that was idle
for so long must still be there, or it starts from the beginning."""

PROTOCOLS = "group.coordinator.rebalance.protocols"
"""https://kafka.apache.org/documentation/#brokerconfigs_group.coordinator.rebalance.protocols"""

Configs = dict[int, described_configs.Configs]
"""By broker: its configuration as far as it describes it."""

Say = Callable[[str, str, str], Check]


def metadata(settings: Settings) -> ClusterMetadata:
    """Return the cluster's metadata. Raises DependencyError if no broker answers."""
    return KafkaAdmin(settings).metadata()


def check(settings: Settings, found: ClusterMetadata, configs: Configs, problem: str) -> Iterator[Check]:
    """Check the brokers; `found` comes from `metadata`, `configs` and `problem` from `broker_configs`."""
    yield _clients()
    yield from _brokers(found, configs)
    yield _version(configs, problem)
    yield from _internal_topics(settings, found)
    if not any(configs.values()):
        yield skipped("broker settings", problem, "`sternpost acls --role provisioning` has the right that it takes")
    else:
        faults = list(_settings(settings, configs))
        untold = [name for name in _bounds(settings) if not _is_told(configs, name)]
        if untold:
            yield _untold("broker settings", ", ".join(untold))
        if not faults and len(untold) < len(_bounds(settings)):
            but = " as far as they are told" if untold else ""
            yield ok("broker settings", f"right for transactions, groups and their time-outs{but}")
        yield from faults
    if settings.processor.group_protocol is GroupProtocol.CONSUMER:
        yield _group_protocol(settings, configs)
    yield from _replicas(settings, found)


def check_topics(settings: Settings) -> Iterator[Check]:
    """Check the three topics, as `sternpost topics check` does."""
    try:
        findings = topics.check(settings)
    except DependencyError as error:
        yield skipped("topics", f"their settings cannot be seen: {error}")
        return
    for finding in findings:
        say = fault if finding.severity is Severity.FAULT else warning
        yield say("topics", f"{finding.topic}: {finding.problem}", finding.remedy)
    if not findings:
        yield ok("topics", f"{', '.join(topics.names(settings))} are as they should be")


def _clients() -> Check:
    detail, librdkafka = client_version()
    if librdkafka < OLDEST_LIBRDKAFKA:
        return fault("client version", detail, "install confluent-kafka 2.13 or later")
    return ok("client version", detail)


def broker_configs(settings: Settings, brokers: list[int]) -> tuple[Configs, str]:
    """Return each broker's configuration, empty if it does not answer, and the reason of the last that did not."""
    told, refused = KafkaAdmin(settings).describe_configs(ResourceType.BROKER, [str(broker) for broker in brokers])
    problem = next((reason.detail for reason in reversed(refused.values())), "this cluster does not tell them")
    return {broker: told.get(str(broker), {}) for broker in brokers}, problem


def _brokers(found: ClusterMetadata, configs: Configs) -> Iterator[Check]:
    silent = sorted(broker for broker, config in configs.items() if not config)
    cluster_id = cast("str | None", found.cluster_id) or "without an id"
    where = ", ".join(str(broker) for broker in sorted(found.brokers))
    if silent and len(silent) < len(configs):
        yield fault(
            "brokers",
            f"brokers {', '.join(map(str, silent))} do not answer from here, the others do",
            "start them, or let this machine reach every broker at the address that it advertises "
            "(advertised.listeners)",
        )
    else:
        yield ok("brokers", f"cluster {cluster_id}: brokers {where} answer")


def _version(configs: Configs, problem: str) -> Check:
    known = next((config for config in configs.values() if config), None)
    if known is None:
        return skipped("broker version", f"it cannot be seen: {problem}")
    old = known.get("inter.broker.protocol.version")
    if old is None:
        # Kafka 4.0 took it away, with ZooKeeper: https://kafka.apache.org/40/documentation.html#upgrade_4_0_0
        kraft = "process.roles" in known
        return ok("broker version", "Kafka 4.0 or later") if kraft else _untold("broker version", "its version")
    numbers = [int(part) for part in old.split("-")[0].split(".")[:2] if part.isdigit()]
    if numbers < [2, 5]:
        return fault("broker version", f"protocol {old}", "transactions of a consumer group need Kafka 2.5 or later")
    if numbers < OLDEST_KAFKA:
        oldest = ".".join(map(str, OLDEST_KAFKA))
        return warning(
            "broker version",
            f"protocol {old}, older than any that Sternpost is tested on",
            f"upgrade the brokers to Kafka {oldest} or later, and inter.broker.protocol.version with them",
        )
    return ok("broker version", f"protocol {old}")


def _internal_topics(settings: Settings, found: ClusterMetadata) -> Iterator[Check]:
    """Check the topics in which transactions and committed offsets are kept."""
    wanted = settings.topics.wanted_replicas
    for name, holds, setting in (
        ("__transaction_state", "transactions", "transaction.state.log.replication.factor"),
        ("__consumer_offsets", "offsets", "offsets.topic.replication.factor"),
    ):
        topic = found.topics.get(name)
        if topic is None:
            yield skipped(f"state of {holds}", f"{name} is not there yet, or may not be seen", "")
            continue
        replicas = min((len(partition.replicas) for partition in topic.partitions.values()), default=None)
        if replicas is None:
            yield _untold(f"state of {holds}", f"the replicas of {name}")
        elif replicas < wanted:
            yield fault(
                f"state of {holds}",
                f"{name} has {replicas} replicas, and should have {wanted} like the topics: with a broker lost, "
                "nothing commits",
                f"kafka-reassign-partitions for {name}, and {setting}={wanted} on the brokers",
            )
        else:
            yield ok(f"state of {holds}", f"{name} has {replicas} replicas")


def _group_protocol(settings: Settings, configs: Configs) -> Check:
    """Check that the brokers have the group protocol `consumer`, and how long they wait for a silent member."""
    name, group_id = "group protocol", settings.processor.group_id
    protocols = [config[PROTOCOLS] for config in configs.values() if config.get(PROTOCOLS)]
    if any("consumer" not in told.split(",") for told in protocols):
        return fault(
            name,
            f"{PROTOCOLS} is {protocols[0]}, without the protocol of processor.group_protocol, consumer",
            "set processor.group_protocol to classic, or have the brokers offer consumer (Kafka 4.0 or later)",
        )
    of_group, _ = KafkaAdmin(settings).describe_configs(ResourceType.GROUP, [group_id])
    told = [of_group.get(group_id, {}).get("consumer.session.timeout.ms")]
    told += [config.get("group.consumer.session.timeout.ms") for config in configs.values()]
    session_ms = next((int(value) for value in told if value and value.isdigit()), None)
    if session_ms is None:
        return _untold(name, "the session time-out of the group protocol consumer")
    transaction_ms = settings.processor.transaction_timeout_ms
    if session_ms <= transaction_ms:
        return fault(
            name,
            f"consumer, with a session time-out of {session_ms} ms, not above processor.transaction_timeout_ms "
            f"({transaction_ms}): a member that Kafka has given up must not still hold an open transaction",
            f"raise consumer.session.timeout.ms of the group {group_id}, or lower processor.transaction_timeout_ms",
        )
    return ok(name, f"consumer, with a session time-out of {session_ms} ms")


def _bounds(settings: Settings) -> dict[str, tuple[int, Say]]:
    """Return the least values that brokers must have, and the severity of a lower one."""
    topics, processor = settings.topics, settings.processor
    classic = processor.group_protocol is GroupProtocol.CLASSIC
    return {
        "transaction.state.log.replication.factor": (topics.wanted_replicas, fault),
        "transaction.state.log.min.isr": (topics.min_insync_replicas, fault),
        "offsets.topic.replication.factor": (topics.wanted_replicas, fault),
        "transaction.max.timeout.ms": (processor.transaction_timeout_ms, fault),
        **({"group.max.session.timeout.ms": (processor.session_timeout_ms, fault)} if classic else {}),
        "offsets.retention.minutes": (RETRY_DAYS * 24 * 60, warning),
    }


def _settings(settings: Settings, configs: Configs) -> Iterator[Check]:
    session_ms = settings.processor.session_timeout_ms
    for broker, config in sorted(configs.items()):
        for name, (wanted, say) in _bounds(settings).items():
            actual = described_configs.int_or_none(config, name)
            if actual is not None and actual < wanted:
                detail = f"broker {broker}: {name} is {actual}, and should be at least {wanted}"
                yield say("broker settings", detail, f"set {name}={wanted} in server.properties")
        shortest_ms = described_configs.int_or_none(config, "group.min.session.timeout.ms")
        if settings.processor.group_protocol is GroupProtocol.CONSUMER:
            continue
        if shortest_ms is not None and shortest_ms > session_ms:
            yield fault(
                "broker settings",
                f"broker {broker}: group.min.session.timeout.ms is {shortest_ms}, above processor.session_timeout_ms",
                f"raise processor.session_timeout_ms to {shortest_ms} or more",
            )


def _is_told(configs: Configs, name: str) -> bool:
    return any(described_configs.int_or_none(config, name) is not None for config in configs.values())


def _untold(name: str, what: str) -> Check:
    return skipped(name, f"this cluster does not tell {what}", "see the cluster's own documentation or console")


def _replicas(settings: Settings, found: ClusterMetadata) -> Iterator[Check]:
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
