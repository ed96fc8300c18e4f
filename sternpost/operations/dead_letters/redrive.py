"""Send dead letters back to the raw topic, each once, with `attempt` incremented."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord, identify
from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.admin import check_topics
from runtime.kafka.command_transactions import CommandTransactions
from runtime.kafka.config import record_limits
from runtime.kafka.message_headers import Headers, headers_of
from runtime.kafka.range_consumer import Message
from runtime.settings.model import Settings
from schemas import record_headers
from sternpost.operations.changes_allowed import ChangesAllowed, require
from sternpost.operations.dead_letters.index import DeadLetterIndex
from sternpost.operations.dead_letters.record import DeadLetterRecord
from sternpost.operations.dead_letters.selection import OnProgress, Selection, find, ignore_progress, read

DEFAULT_MAX_ATTEMPTS = 5
_NOT_RAW = frozenset(
    {
        record_headers.ERROR_CODE,
        record_headers.ERROR_MESSAGE,
        record_headers.ERROR_FIELD,
        record_headers.ERROR_STAGE,
        record_headers.RAW_TOPIC,
        record_headers.RAW_PARTITION,
        record_headers.RAW_OFFSET,
        record_headers.ATTEMPT,
    }
)
"""Headers of a dead letter that its raw record does not get back."""


class RedrivePlan(NamedTuple):
    """Which dead letters a redrive sends, and which it leaves alone."""

    letters: DeadLetterIndex
    """The dead letters to send."""
    would_become: Counter[str]
    """What this version makes of those with attempts left: how many by `event` or by error code."""
    failing: Counter[str]
    """How many of these are left out, by the code with which they would fail again."""
    exhausted: Counter[str]
    """How many have no attempts left, by code."""

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON for scripts."""
        return {
            "would_send": len(self.letters),
            "would_become": dict(self.would_become),
            "left_out": dict(self.failing),
            "exhausted": self.exhausted.total(),
        }


class RedriveResult(NamedTuple):
    """What a redrive has sent."""

    plan: RedrivePlan
    sent: Counter[str]
    """How many dead letters were sent back, by code."""

    @property
    def left(self) -> int:
        """How many dead letters are still to be sent, after an interruption."""
        return len(self.plan.letters) - self.sent.total()

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON for scripts."""
        return {
            "sent": self.sent.total(),
            "by_code": dict(self.sent),
            "left_out": dict(self.plan.failing),
            "exhausted": self.plan.exhausted.total(),
            "left": self.left,
        }


def plan(
    settings: Settings,
    selection: Selection,
    *,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    even_if_failing: bool = False,
    on_read: OnProgress = ignore_progress,
    on_mapped: OnProgress = ignore_progress,
) -> RedrivePlan:
    """Return which of the selected dead letters a redrive would send.

    It sends none that was sent back before, and, unless `even_if_failing`, none of which this version would make a dead
    letter again. Each is read and mapped; nothing is written. Raises DependencyError.
    """
    found = find(settings, replace(selection, redriven=False), on_read)
    considered = found.where(lambda entry: entry.attempt < max_attempts)
    letters, would_become, failing = DeadLetterIndex(), Counter[str](), Counter[str]()
    pipeline = build_pipeline(settings.processor.profile, max_event_bytes=record_limits(settings).events)
    done = 0
    on_mapped(done, len(considered))
    for batch in read(settings, considered):
        for letter, message in batch:
            record = redriven_record(settings, letter, message)
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
    return RedrivePlan(letters, would_become, failing, exhausted)


def redrive(
    settings: Settings,
    allowed: ChangesAllowed | None,
    selection: Selection,
    *,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    even_if_failing: bool = False,
    interrupted: threading.Event,
    on_read: OnProgress = ignore_progress,
    on_mapped: OnProgress = ignore_progress,
    on_plan: Callable[[RedrivePlan], None],
    on_sent: Callable[[int], None],
) -> RedriveResult:
    """Send back what `plan` returns, and stop after a batch if interrupted. Readers see it when this returns.

    A batch is one transaction over the raw records and the redrive markers of their dead letters. `on_plan` is told
    what will be sent, `on_sent` the number of dead letters after each batch. Raises DependencyError; what was committed
    before stands, and the next call does not send it again. Raises KeyboardInterrupt if interrupted before there is a
    plan, and ChangesNotAllowedError.
    """
    require(allowed, "send dead letters back")

    def until_interrupted(report: OnProgress) -> OnProgress:
        def report_or_stop(done: int, total: int) -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            report(done, total)

        return report_or_stop

    check_topics(settings, [settings.topics.raw, settings.topics.dead_letters])
    # Before the topic is read: this ends a transaction that an earlier redrive left open.
    transactions = CommandTransactions(settings, f"{settings.processor.group_id}.redrive")
    if not transactions.becomes_visible(settings.topics.dead_letters):
        raise DependencyError(
            f"a transaction of another program is open in {settings.topics.dead_letters}, and may hide which dead "
            "letters were sent back already",
            "run the command again in a minute: brokers end what a killed program left open",
        )
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
        if interrupted.is_set():
            break
        with transactions.transaction():
            for letter, message in batch:
                _send(transactions, settings, letter, message, partitions)
        sent.update(letter.code for letter, _ in batch)
        on_sent(len(batch))
    if sent:
        transactions.await_visible(settings.topics.raw, settings.topics.dead_letters)
    return RedriveResult(planned, sent)


def _send(
    transactions: CommandTransactions,
    settings: Settings,
    letter: DeadLetterRecord,
    message: Message,
    partitions: set[int],
) -> None:
    topics = settings.topics
    # To the partition that it came from, even without a key: deduplication is by partition.
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


def redriven_record(settings: Settings, letter: DeadLetterRecord, message: Message) -> RawRecord:
    """Return the raw record of a dead letter as it would go back, at the place that it came from."""
    return RawRecord(
        settings.topics.raw,
        letter.raw_partition,
        letter.raw_offset,
        message.timestamp()[1],
        message.key(),
        message.value(),
        raw_headers(message),
    )


def raw_headers(message: Message) -> Headers:
    """Return the headers of the raw record with `attempt` incremented."""
    headers = headers_of(message)
    held = dict(headers)
    kept = [(name, value) for name, value in headers if name not in _NOT_RAW]
    if record_headers.RECEIVED_AT not in held:  # another program wrote the record; it was received before it failed
        kept.append((record_headers.RECEIVED_AT, b"%d" % message.timestamp()[1]))
    attempt = min(record_headers.read_attempt(held.get(record_headers.ATTEMPT)) + 1, record_headers.LARGEST_ATTEMPT)
    return [*kept, (record_headers.ATTEMPT, b"%d" % attempt)]
