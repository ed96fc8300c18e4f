"""The rights that each role needs on the cluster, for Kafka's own authorizer.

https://kafka.apache.org/documentation/#security_authz
"""

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from runtime.errors import DependencyError, KafkaRequestError
from runtime.kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    KafkaAdmin,
    ResourcePatternType,
    ResourceType,
)
from runtime.kafka.range_consumer import READER_GROUP
from runtime.settings.model import Settings
from sternpost.operations.changes_allowed import ChangesAllowed, require


class Role(StrEnum):
    """What connects to the cluster; each role may have a user of its own."""

    INGEST = "ingest"
    """`sternpost ingest`"""
    PROCESSOR = "processor"
    """`sternpost process`"""
    PROVISIONING = "provisioning"
    """`sternpost topics create`, `topics check`, and `doctor` in full"""
    VIEWER = "viewer"
    """`sternpost status`, `tail`, `find`, `person find`, `console`, `dead-letters list/show`, `replay --dry-run`"""
    OPERATOR = "operator"
    """All of a viewer's rights, and `dead-letters redrive`, `replay`, `console --allow-changes`"""


class Grant(NamedTuple):
    """Operations on one resource."""

    resource: str
    """`topic`, `group`, `transactional_id` or `cluster`."""
    name: str
    operations: tuple[str, ...]
    """As in Kafka's AclOperation: `Read`, `DescribeConfigs` …"""
    prefixed: bool = False
    """Whether the grant is for all names that begin with `name`."""


CLUSTER = "kafka-cluster"
INTERNAL_TOPICS = ("__transaction_state", "__consumer_offsets")
"""Topics whose replication `doctor` checks."""

DOCTOR_TOPICS = "sternpost-doctor-"
"""The prefix of the temporary topics by which `doctor` reads the brokers' clocks."""


def grants(settings: Settings, role: Role, replay_topics: Sequence[str] = ()) -> list[Grant]:
    """Return the rights that the role needs. An operator may also write replays to `replay_topics`."""
    topics, group = settings.topics, settings.processor.group_id
    every = (topics.raw, topics.events, topics.dead_letters)
    viewer = [
        *(Grant("topic", name, ("Describe", "Read")) for name in (topics.raw, topics.dead_letters)),
        Grant("topic", topics.events, ("Describe", "DescribeConfigs", "Read")),
        Grant("group", group, ("Describe",)),
        Grant("group", READER_GROUP, ("Describe",)),
        Grant("group", f"{group}.catch-up", ("Describe",)),
    ]
    match role:
        case Role.INGEST:
            return [Grant("topic", topics.raw, ("Describe", "Write"))]
        case Role.PROCESSOR:
            return [
                Grant("topic", topics.raw, ("Describe", "Read")),
                Grant("topic", topics.events, ("Describe", "Write")),
                Grant("topic", topics.dead_letters, ("Describe", "Write")),
                Grant("group", group, ("Read",)),
                Grant("group", f"{group}.catch-up", ("Describe",)),
                Grant("transactional_id", f"{group}-", ("Describe", "Write"), prefixed=True),
            ]
        case Role.PROVISIONING:
            rights = ("Create", "Describe", "DescribeConfigs", "Alter", "AlterConfigs")
            return [
                *(Grant("topic", name, rights) for name in every),
                Grant("topic", DOCTOR_TOPICS, ("Create", "Delete", "Describe", "Write"), prefixed=True),
                *(Grant("topic", name, ("Describe",)) for name in INTERNAL_TOPICS),
                Grant("group", group, ("Describe",)),
                Grant("cluster", CLUSTER, ("Describe", "DescribeConfigs")),
            ]
        case Role.VIEWER:
            return viewer
        case Role.OPERATOR:
            return [
                *(grant._replace(operations=(*grant.operations, "Write")) for grant in viewer if grant.name in every),
                *(Grant("topic", name, ("Create", "Describe", "DescribeConfigs", "Write")) for name in replay_topics),
                *(grant for grant in viewer if grant.name not in every),
                Grant("group", f"{group}.replay.", ("Read",), prefixed=True),
                Grant("transactional_id", f"{group}.", ("Describe", "Write"), prefixed=True),
            ]


def commands(settings: Settings, grants: Sequence[Grant], principal: str) -> list[str]:
    """Return the shell commands that give these grants with Kafka's own `kafka-acls`."""
    lines = []
    for grant in grants:
        resource = ["--cluster"] if grant.resource == "cluster" else [_OPTIONS[grant.resource], grant.name]
        operations = [word for operation in grant.operations for word in ("--operation", operation)]
        pattern = ["--resource-pattern-type", "prefixed"] if grant.prefixed else []
        words = [
            *("kafka-acls", "--bootstrap-server", settings.kafka.bootstrap_servers),
            *("--command-config", "admin.properties", "--add", "--allow-principal", principal),
            *operations,
            *resource,
            *pattern,
        ]
        lines.append(shlex.join(words))
    return lines


def create(settings: Settings, allowed: ChangesAllowed | None, grants: Sequence[Grant], principal: str) -> None:
    """Create ACLs for these grants; existing ones stay.

    Raises DependencyError, also if no authorizer is on, and ChangesNotAllowedError.
    """
    require(allowed, "create ACLs")
    try:
        KafkaAdmin(settings).create_acls(bindings(grants, principal))
    except KafkaRequestError as error:
        hint = {
            "SECURITY_DISABLED": "set authorizer.class.name on the brokers first",
            "CLUSTER_AUTHORIZATION_FAILED": "creating ACLs takes a user that may Alter the cluster",
        }.get(error.name, "check kafka.properties")
        raise DependencyError(f"the ACLs could not be created: {error.detail}; {hint}") from None


def bindings(grants: Sequence[Grant], principal: str) -> list[AclBinding]:
    """Return the ACLs of these grants, one for each operation."""
    types: dict[str, Any] = {
        "topic": ResourceType.TOPIC,
        "group": ResourceType.GROUP,
        "transactional_id": ResourceType.TRANSACTIONAL_ID,
        "cluster": ResourceType.BROKER,
    }
    return [
        AclBinding(
            types[grant.resource],
            grant.name,
            ResourcePatternType.PREFIXED if grant.prefixed else ResourcePatternType.LITERAL,
            principal,
            "*",
            AclOperation[_upper_snake(operation)],
            AclPermissionType.ALLOW,
        )
        for grant in grants
        for operation in grant.operations
    ]


_OPTIONS = {"topic": "--topic", "group": "--group", "transactional_id": "--transactional-id"}


def _upper_snake(operation: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in operation).lstrip("_").upper()
