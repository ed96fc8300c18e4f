"""One record of the raw topic, by its place."""

from processor.pipeline.records import RawRecord, raw_records
from runtime.errors import CheckFailedError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings


def read_raw_record(settings: Settings, partition: int, offset: int) -> RawRecord:
    """Return a record of the raw topic.

    Raises CheckFailedError if there is none at that offset, and DependencyError, also if the topic has no such
    partition.
    """
    topic = settings.topics.raw
    [there] = range_consumer.readable_ranges(settings, topic, [partition])
    if not there.start <= offset < there.end:
        raise CheckFailedError(
            f"{topic} has no record at {partition}:{offset}",
            f"partition {partition} holds {there.start} to {there.end - 1}",
        )
    found = range_consumer.first_messages(settings, topic, [OffsetRange(partition, offset, offset + 1)])
    records, _ = raw_records(topic, found.values())
    if not records:
        raise CheckFailedError(
            f"{topic} has no record at {partition}:{offset}", "a transaction's marker is there; take one beside it"
        )
    return records[0]
