"""What a cluster tells of its configuration: some tell all of it, some a part, and some nothing.

Redpanda lists neither `min.insync.replicas` nor others that it has no use for
(https://github.com/redpanda-data/redpanda/issues/978, https://github.com/sauljabin/kaskade/issues/35), and managed
offers keep what they manage to themselves. So what is not told is no value, and never an error.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, ResourceType

from runtime.kafka.admin import ADMIN_TIMEOUT_S, KafkaAdmin

Configs = Mapping[str, str]
"""Those that are told, by name."""


def describe(
    admin: KafkaAdmin, kind: ResourceType, names: Iterable[str]
) -> tuple[dict[str, Configs], dict[str, KafkaError]]:
    """The configurations by the resource's name, and why there is none for the others."""
    asked: dict[str, Future[dict[str, ConfigEntry]]] = {}
    for name in names:  # one a call: the client takes one broker at a time
        [asked[name]] = admin.ask(partial(_describe, resources=[ConfigResource(kind, name)])).values()
    told: dict[str, Configs] = {}
    refused: dict[str, KafkaError] = {}
    for name, future in asked.items():
        try:
            told[name] = {key: str(entry.value) for key, entry in future.result().items() if entry.value is not None}
        except KafkaException as error:
            refused[name] = error.args[0]
    return told, refused


def _describe(client: AdminClient, resources: list[ConfigResource]) -> Mapping[ConfigResource, Future[Any]]:
    return client.describe_configs(resources, request_timeout=ADMIN_TIMEOUT_S)


def whole(configs: Configs, key: str) -> int | None:
    """A whole number; None if it is not told, or is none."""
    try:
        return int(configs[key])
    except (KeyError, ValueError):
        return None


def does_not_tell(reason: KafkaError) -> bool:
    """Whether the cluster has no answer to the question, rather than none for this user or none just now."""
    return reason.code() in (
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.INVALID_REQUEST,
        KafkaError.POLICY_VIOLATION,
    )
