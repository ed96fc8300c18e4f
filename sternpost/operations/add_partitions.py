"""More partitions for topics that have records.

People move: which partition a key belongs to depends on how many there are. A person's later events go to another
partition than the earlier ones, so order between the two holds only if the earlier ones are processed first; and
deduplication is by partition, so a second try in a new one is not recognised. Hence nothing may be on its way.
"""

import time

from runtime.errors import CheckFailedError, DependencyError, KafkaRequestError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin, check_topics
from runtime.settings.model import Settings
from sternpost.operations.status import consumer_group, service


def increase_partitions(settings: Settings, partitions: int, *, force: bool) -> dict[str, int]:
    """Gives each of the topics that many partitions, and tells how many those had that had fewer.

    The topic of events first, and dead letters before raw: what comes of a new raw partition finds one there. Raises
    CheckFailedError where something is on its way, unless `force`, and DependencyError.
    """
    topics = settings.topics
    ordered = [topics.events, topics.dead_letters, topics.raw]
    check_topics(settings, ordered)
    have = {name: len(range_consumer.topic_partitions(settings, name)) for name in ordered}
    if more := [name for name, number in have.items() if number > partitions]:
        raise DependencyError(
            f"{more[0]} has {have[more[0]]} partitions already, and Kafka takes none away; fewer can only be had by "
            "topics with new names"
        )
    if not force:
        _check_quiet(settings)
    admin = KafkaAdmin(settings)
    grown = {name: number for name, number in have.items() if number < partitions}
    for name in grown:
        try:
            admin.create_partitions(name, partitions)
        except KafkaRequestError as error:
            raise DependencyError(
                f"{name} could not be given {partitions} partitions: {error.detail}; run it again once that is fixed"
            ) from None
    return grown


def _check_quiet(settings: Settings) -> None:
    ingest = service.fetch_status("ingest", settings.ingest.admin_host, settings.ingest.admin_port)
    if ingest.reachable:
        raise CheckFailedError(
            f"ingest is at work ({ingest.address}): a person's events would come into two partitions. Stop every "
            "ingest, or take the risk with --force"
        )
    behind = sum(partition.lag for partition in consumer_group.partitions(settings, time.time_ns() // 1_000_000))
    if behind:
        raise CheckFailedError(
            f"{behind} records of {settings.topics.raw} are not processed: later events of their people could overtake "
            "them. Let the processors finish (`sternpost status`), or take the risk with --force"
        )
