"""Where a replay writes to, and in which schema."""

from runtime.errors import DependencyError
from runtime.kafka import ADMIN_TIMEOUT_S, admin_client, missing_topics, topic_configs
from runtime.schema_registry import Registry, subject_of
from runtime.settings import Settings
from schemas.track_event import load_schema
from sternpost import reader, retention


def ensure(settings: Settings, target: str, age_ms: int) -> None:
    """Makes the topic like the output topic, where it is missing, but that it keeps events of that age for as long as
    others. Raises DependencyError."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import NewTopic

    events = settings.topics.events
    if not missing_topics(settings, [target]):
        return
    partitions = len(reader.topic_partitions(settings, events))
    config = {**topic_configs(settings)[events], "retention.ms": str(retention.long_enough_ms(settings, age_ms))}
    new = NewTopic(target, partitions, settings.topics.replication_factor, config=config)
    admin = admin_client(settings)  # kept: its futures fail once it is collected
    try:
        admin.create_topics([new], operation_timeout=ADMIN_TIMEOUT_S, request_timeout=ADMIN_TIMEOUT_S)[target].result()
    except KafkaException as error:
        raise DependencyError(
            f"the topic {target} is missing and could not be created: {error.args[0].str()}; create it like {events}, "
            f"with {partitions} partitions"
        ) from None


def schema_id(settings: Settings) -> int:
    """The id that frames events: the one under the output topic's subject. Raises the registry's errors."""
    with Registry(settings.schema_registry) as registry:
        return registry.lookup(subject_of(settings.topics.events), load_schema()).id
