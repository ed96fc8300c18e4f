"""Add partitions to topics that have records.

The partition of a key depends on the number of partitions, so a person's later events may go to another partition than
the earlier ones. Their order then holds only if the earlier ones are processed first. Deduplication is by partition, so
a repeated webhook in another partition is not recognised. Both ingest and processor must therefore be idle.
"""

import time

from runtime.errors import CheckFailedError, DependencyError, KafkaRequestError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin, check_topics
from runtime.settings.model import Settings
from sternpost.operations.changes_allowed import ChangesAllowed, require
from sternpost.operations.status import consumer_group, service


def increase_partitions(
    settings: Settings, allowed: ChangesAllowed | None, partitions: int, *, force: bool
) -> dict[str, int]:
    """Give each topic that many partitions, and return how many each of the changed topics had before.

    The raw topic is last, so that the other topics are ready for the records of its new partitions. Raises
    CheckFailedError if ingest is running or records are unprocessed, unless `force` is set, DependencyError and
    ChangesNotAllowedError.
    """
    require(allowed, "add partitions")
    topics = settings.topics
    ordered = [topics.events, topics.dead_letters, topics.raw]
    check_topics(settings, ordered)
    have = {name: len(range_consumer.topic_partitions(settings, name)) for name in ordered}
    if more := [name for name, number in have.items() if number > partitions]:
        raise DependencyError(
            f"{more[0]} has {have[more[0]]} partitions already, and Kafka cannot remove partitions; to have fewer, "
            "use topics with new names"
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
            f"ingest is running ({ingest.address}): a person's events would go to two partitions. Stop every "
            "ingest, or take the risk with --force"
        )
    if ingest.timed_out:
        raise CheckFailedError(
            f"{ingest.address}: {ingest.reason}, so ingest may be running: a person's events would go to two "
            "partitions. See what listens there and stop it, or take the risk with --force"
        )
    behind = sum(partition.lag for partition in consumer_group.partitions(settings, time.time_ns() // 1_000_000))
    if behind:
        raise CheckFailedError(
            f"{behind} records of {settings.topics.raw} are not processed: later events of the same people could "
            "overtake them. Let the processors finish (`sternpost status`), or take the risk with --force"
        )
