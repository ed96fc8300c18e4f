"""The topic that a replay writes to, and the schema of its events."""

from runtime.kafka import range_consumer
from runtime.kafka.admin import missing_topics
from runtime.kafka.config import topic_configs
from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import Settings
from schemas.track_event import load_schema
from sternpost.operations import topic_creation
from sternpost.operations.changes_allowed import ChangesAllowed, require


def ensure(settings: Settings, allowed: ChangesAllowed | None, target: str) -> None:
    """Create the topic, configured like the output topic, if it is missing.

    Raises DependencyError and ChangesNotAllowedError.
    """
    require(allowed, "create topics")
    events = settings.topics.events
    if not missing_topics(settings, [target]):
        return
    partitions = len(range_consumer.topic_partitions(settings, events))
    config = topic_configs(settings)[events]
    topic_creation.create(settings, allowed, [topic_creation.new_topic(settings, target, config, partitions)])


def schema_id(settings: Settings) -> int:
    """Return the registry's id of the newest schema under the output topic's subject.

    Raises RegistryUnavailableError, RegistryRefusedError, SchemaNotFoundError and ConfigurationError.
    """
    with Registry(settings.schema_registry) as registry:
        return registry.lookup(subject_of(settings.topics.events), load_schema()).id
