"""An admin client of a cluster that differs from Apache Kafka's: it refuses by a policy, or does not tell.

Stands for what cannot be had here: managed offers, Redpanda, a `create.topic.policy.class.name`.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

Policy = Callable[[NewTopic], KafkaError | None]


def future(result: Any) -> "Future[Any]":
    """Return a future with the result, or one that raises it if it is an error."""
    made: Future[Any] = Future()
    if isinstance(result, KafkaError):
        made.set_exception(KafkaException(result))
    else:
        made.set_result(result)
    return made


class FakeAdmin:
    """Take the configuration that the cluster reports for each topic, and a policy: topic to create → error."""

    def __init__(
        self,
        topics: Mapping[str, Mapping[str, str | None] | KafkaError] | None = None,
        *,
        policy: Policy = lambda _: None,
        brokers: Mapping[int, Mapping[str, str | None] | KafkaError] | None = None,
        replicas: int = 3,
        partitions: int = 8,
    ) -> None:
        self.topics, self.policy, self.brokers = dict(topics or {}), policy, dict(brokers or {1: {}, 2: {}, 3: {}})
        self.created: list[NewTopic] = []
        self._partitions = {
            number: SimpleNamespace(replicas=list(range(replicas)), isrs=list(range(replicas)), leader=1)
            for number in range(partitions)
        }

    def poll(self, timeout: float = 0) -> int:
        """Serve no callbacks: there are none."""
        del timeout
        return 0

    def list_topics(self, *_: Any, **__: Any) -> Any:
        topics = {name: SimpleNamespace(topic=name, partitions=self._partitions, error=None) for name in self.topics}
        return SimpleNamespace(cluster_id=None, controller_id=-1, brokers=dict.fromkeys(self.brokers), topics=topics)

    def create_topics(self, new: list[NewTopic], *, validate_only: bool = False, **_: Any) -> Any:
        answers: dict[str, Future[Any]] = {}
        for topic in new:
            reason = self.policy(topic)
            answers[topic.topic] = future(reason)
            if reason is None and not validate_only:
                self.created.append(topic)
                self.topics[topic.topic] = dict(topic.config or {})
        return answers

    def describe_configs(self, resources: list[ConfigResource], **_: Any) -> Any:
        [resource] = resources  # the client refuses a question about two brokers
        broker = resource.restype.name == "BROKER"
        told = self.brokers[int(resource.name)] if broker else self.topics[resource.name]
        if isinstance(told, KafkaError):
            return {resource: future(told)}
        return {resource: future({key: SimpleNamespace(value=value) for key, value in told.items()})}
