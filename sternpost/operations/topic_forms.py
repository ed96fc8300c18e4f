"""The topics as text for the tool that makes them on a cluster that Sternpost may not change.

Terraform: https://registry.terraform.io/providers/Mongey/kafka/latest/docs/resources/topic and
https://registry.terraform.io/providers/confluentinc/confluent/latest/docs/resources/confluent_kafka_topic.
Strimzi: https://strimzi.io/docs/operators/latest/configuring#type-KafkaTopic-reference.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from runtime.kafka.admin import NewTopic


class Form(StrEnum):
    """The tool that a text is for."""

    KAFKA_TOPICS = "kafka-topics"
    TERRAFORM = "terraform"
    TERRAFORM_CONFLUENT = "terraform-confluent"
    STRIMZI = "strimzi"


def render(form: Form, topics: Sequence[NewTopic], tool: str) -> str:
    """Return the topics in the form. `tool` is the beginning of the command kafka-topics with its connection.

    A replication factor of -1 leaves the number to the cluster.
    """
    write: Mapping[Form, Callable[[NewTopic], str]] = {
        Form.KAFKA_TOPICS: lambda topic: _command(topic, tool),
        Form.TERRAFORM: _mongey,
        Form.TERRAFORM_CONFLUENT: _confluent,
        Form.STRIMZI: _strimzi,
    }
    return ("\n" if form is Form.KAFKA_TOPICS else "\n\n").join(write[form](topic) for topic in topics)


def _command(topic: NewTopic, tool: str) -> str:
    replicas = f" --replication-factor {topic.replication_factor}" if topic.replication_factor > 0 else ""
    config = "".join(f" --config {shlex.quote(f'{key}={value}')}" for key, value in sorted(_config(topic).items()))
    return (
        f"{tool} --create --if-not-exists --topic {topic.topic} --partitions {topic.num_partitions}{replicas}{config}"
    )


def _mongey(topic: NewTopic) -> str:
    replicas = topic.replication_factor
    own = "" if replicas > 0 else " # the cluster's own number"
    return _resource(
        "kafka_topic",
        topic,
        [
            f"name               = {json.dumps(topic.topic)}",
            f"partitions         = {topic.num_partitions}",
            f"replication_factor = {replicas}{own}",
        ],
    )


def _confluent(topic: NewTopic) -> str:
    return _resource(
        "confluent_kafka_topic",
        topic,
        [f"topic_name       = {json.dumps(topic.topic)}", f"partitions_count = {topic.num_partitions}"],
    )


def _resource(kind: str, topic: NewTopic, lines: list[str]) -> str:
    identifier = re.sub(r"[^A-Za-z0-9_]", "_", topic.topic)
    if not identifier[0].isalpha():
        identifier = f"topic_{identifier}"
    config = _config(topic)
    width = max((len(key) for key in config), default=0) + 2
    settings = [f"    {json.dumps(key):<{width}} = {json.dumps(value)}" for key, value in sorted(config.items())]
    block = ["", "  config = {", *settings, "  }"] if settings else []
    return "\n".join([f'resource "{kind}" "{identifier}" {{', *(f"  {line}" for line in lines), *block, "}"])


def _strimzi(topic: NewTopic) -> str:
    """`metadata.name` must be a DNS name; `spec.topicName` is the topic's own."""
    name = re.sub(r"[^a-z0-9.-]", "-", topic.topic.lower()).strip(".-") or "topic"
    replicas = [f"  replicas: {topic.replication_factor}"] if topic.replication_factor > 0 else []
    settings = [f"    {key}: {json.dumps(value)}" for key, value in sorted(_config(topic).items())]
    return "\n".join(
        [
            "---",
            "apiVersion: kafka.strimzi.io/v1",
            "kind: KafkaTopic",
            "metadata:",
            f"  name: {json.dumps(name)}",
            "  labels:",
            "    strimzi.io/cluster: my-cluster # the name of the Kafka resource",
            "spec:",
            f"  topicName: {json.dumps(topic.topic)}",
            f"  partitions: {topic.num_partitions}",
            *replicas,
            *(["  config:", *settings] if settings else []),
        ]
    )


def _config(topic: NewTopic) -> Mapping[str, str]:
    return {key: str(value) for key, value in (topic.config or {}).items()}
