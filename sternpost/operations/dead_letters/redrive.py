"""Sends dead letters back to the raw topic, each once, with its attempt counted up."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from processor.messages import raw_records
from processor.pipeline.dedup_key import identify
from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter
from runtime.graceful_interrupt import StopRequest
from runtime.kafka import range_consumer
from runtime.kafka.admin import check_topics
from runtime.kafka.command_transactions import CommandTransactions
from runtime.kafka.config import record_limits
from runtime.settings.model import Settings
from schemas import record_headers
from sternpost.operations.dead_letters.index import DeadLetterIndex
from sternpost.operations.dead_letters.letter import DeadLetterRecord, number, texts
from sternpost.operations.dead_letters.selection import OnRead, Selection, find, nothing, read

if TYPE_CHECKING:
    from confluent_kafka import Message

Headers = list[tuple[str, bytes | None]]

DEFAULT_MAX_ATTEMPTS = 5
_NOT_RAW = frozenset(
    {
        *(
            record_headers.ERROR_CODE,
            record_headers.ERROR_MESSAGE,
            record_headers.ERROR_FIELD,
            record_headers.ERROR_STAGE,
        ),
        *(record_headers.RAW_TOPIC, record_headers.RAW_PARTITION, record_headers.RAW_OFFSET, record_headers.ATTEMPT),
    }
)


class Plan(NamedTuple):
    """What a redrive sends, and what it leaves alone."""

    letters: DeadLetterIndex
    """Those to send."""
    would_become: Counter[str]
    """What this version makes of those that were not tried too often: `event`, or the code of a dead letter."""
    failing: Counter[str]
    """Of these, those that are left out, by the code that they would fail with again."""
    exhausted: Counter[str]
    """By code, those left alone because they were sent back often enough."""


def plan(
    settings: Settings,
    selection: Selection,
    *,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    even_if_failing: bool = False,
    on_read: OnRead = nothing,
    on_mapped: OnRead = nothing,
) -> Plan:
    """The letters to send: never those that were sent back already, nor, unless `even_if_failing`, those of which this
    version makes a dead letter again.

    Reads and maps each of them; nothing is written. Raises DependencyError.
    """
    found = find(settings, replace(selection, redriven=False), on_read)
    considered = found.where(lambda entry: entry.attempt < max_attempts)
    letters, would_become, failing = DeadLetterIndex(), Counter[str](), Counter[str]()
    pipeline = build_pipeline(settings.processor.profile, max_event_bytes=record_limits(settings).events)
    done = 0
    on_mapped(done, len(considered))
    for batch in read(settings, considered):
        for letter, message in batch:
            [record], _ = raw_records(settings.topics.raw, [message])
            record = record.replace(headers=raw_headers(message))
            outcome = pipeline.outcome(record, identify(record))
            code = outcome.code.value if isinstance(outcome, DeadLetter) else "event"
            would_become[code] += 1
            if code == "event" or even_if_failing:
                letters.add(letter)
            else:
                failing[code] += 1
        done += len(batch)
        on_mapped(done, len(considered))
    exhausted = found.where(lambda entry: entry.attempt >= max_attempts).by_code()
    return Plan(letters, would_become, failing, exhausted)


def redrive(
    settings: Settings,
    selection: Selection,
    *,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    even_if_failing: bool = False,
    interrupted: StopRequest,
    on_read: OnRead = nothing,
    on_mapped: OnRead = nothing,
    on_plan: Callable[[Plan], None],
    on_sent: Callable[[int], None],
) -> Counter[str]:
    """Send back what `plan` gives, after `on_plan` was told of it, and return how many by code.

    Stops between two batches if interrupted. A batch is one transaction over the raw records and the notes that their
    letters were sent back. Raises DependencyError; what was committed before stands and is not sent again by the next
    call. Raises KeyboardInterrupt if it was interrupted before there was anything to send.
    """

    def until_interrupted(tell: OnRead) -> OnRead:
        def at(done: int, total: int) -> None:
            if interrupted:
                raise KeyboardInterrupt
            tell(done, total)

        return at

    check_topics(settings, [settings.topics.raw, settings.topics.dead_letters])
    # Before looking: from here on, what an earlier redrive left undecided is decided.
    transactions = CommandTransactions(settings, f"{settings.processor.group_id}.redrive")
    planned = plan(
        settings,
        selection,
        max_attempts=max_attempts,
        even_if_failing=even_if_failing,
        on_read=until_interrupted(on_read),
        on_mapped=until_interrupted(on_mapped),
    )
    on_plan(planned)
    partitions = set(range_consumer.topic_partitions(settings, settings.topics.raw)) if planned.letters else set()
    sent: Counter[str] = Counter()
    for batch in read(settings, planned.letters):
        if interrupted:
            break
        with transactions.transaction():
            for letter, message in batch:
                _send(transactions, settings, letter, message, partitions)
        sent.update(letter.code for letter, _ in batch)
        on_sent(len(batch))
    return sent


def _send(
    transactions: CommandTransactions,
    settings: Settings,
    letter: DeadLetterRecord,
    message: "Message",
    partitions: set[int],
) -> None:
    topics = settings.topics
    # To the partition it came from, key or no key: deduplication is by partition.
    partition = letter.raw_partition if letter.raw_topic == topics.raw and letter.raw_partition in partitions else -1
    transactions.produce(
        topics.raw, key=message.key(), value=message.value(), headers=raw_headers(message), partition=partition
    )
    transactions.produce(
        topics.dead_letters,
        key=message.key(),
        value=None,
        headers=[(record_headers.REDRIVEN_OFFSET, b"%d" % letter.offset)],
        partition=letter.partition,
    )


def raw_headers(message: "Message") -> Headers:
    """The raw record's own headers again, with the attempt counted up."""
    found = texts(message)
    kept: Headers = [(name, value) for name, value in range_consumer.headers_of(message) if name not in _NOT_RAW]
    if record_headers.RECEIVED_AT not in found:  # something else wrote the record: it was received before it failed
        kept.append((record_headers.RECEIVED_AT, b"%d" % message.timestamp()[1]))
    return [*kept, (record_headers.ATTEMPT, b"%d" % (number(found.get(record_headers.ATTEMPT), 0) + 1))]
