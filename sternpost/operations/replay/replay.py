"""A replay that writes events: whether it may start, where it resumes, and what it wrote."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from runtime.errors import CheckFailedError, ConfigurationError
from runtime.kafka import range_consumer
from runtime.kafka.admin import check_topics, missing_topics
from runtime.kafka.command_transactions import CommandTransactions
from runtime.kafka.config import topic_configs
from runtime.kafka.range_consumer import OffsetRange
from runtime.schema_registry import Registry, events_subject
from runtime.settings.model import Settings
from schemas.track_event import load_schema
from sternpost.operations import topic_creation
from sternpost.operations.changes_allowed import ChangesAllowed, require
from sternpost.operations.replay.checkpoint import ReplayCheckpoint, replay_name
from sternpost.operations.replay.replay_pipeline import Filters, ReplayPipeline
from sternpost.operations.replay.write import write
from sternpost.operations.requested_range import RequestedRange, check_retained


class ReplayResult(NamedTuple):
    """What one run of a replay committed."""

    ranges: list[OffsetRange]
    """The ranges of the raw topic that this run set out to replay."""
    resumed: bool
    """Whether it continued an earlier run."""
    finished: bool
    """False if it was interrupted; the same replay then resumes at the first record that was not committed."""
    target: str
    counts: Counter[str]
    """As `ReplayBatch.tally` counts them."""

    @property
    def dead_letters(self) -> dict[str, int]:
        """The number of dead letters by code; they are counted and not written."""
        return {code: n for code, n in self.counts.items() if code not in ("events", "duplicates", "filtered")}

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON for scripts."""
        return {
            "range": [offset_range._asdict() for offset_range in self.ranges],
            "resumed": self.resumed,
            "finished": self.finished,
            "target": self.target,
            "records": self.counts.total(),
            "events": self.counts["events"],
            "duplicates": self.counts["duplicates"],
            "filtered": self.counts["filtered"],
            "dead_letters": self.dead_letters,
        }


class Replay:
    """A replay that is ready to write. Close it, or use it as a context manager."""

    def __init__(
        self,
        settings: Settings,
        allowed: ChangesAllowed | None,
        requested: RequestedRange,
        filters: Filters,
        target: str | None,
        *,
        again: bool,
    ) -> None:
        """Find out where to start, and create the target topic if it is missing.

        `target` is the topic to write to; None writes to the output topic, where sinks read the events again. A replay
        is identified by its range as it was written, its filters, the mapping profile and the target. One that was
        begun before resumes; `again` starts it from the beginning.

        Raises CheckFailedError if this replay has finished before, ConfigurationError for a target that is one of the
        pipeline's own topics, DependencyError and ChangesNotAllowedError.
        """
        require(allowed, "write events again")
        topics = settings.topics
        if target in (topics.raw, topics.events, topics.dead_letters):
            raise ConfigurationError(
                f"--to-topic {target} is one of the pipeline's own topics; --live writes to {topics.events}"
            )
        self.target = target or topics.events
        self._settings, self._allowed, self._filters = settings, allowed, filters
        check_topics(settings, [topics.raw, topics.events])
        self._schema_id = _schema_id(settings)
        name = replay_name(settings, self.target, *requested.identity(), filters.as_text())
        self._checkpoint = ReplayCheckpoint(settings, name)
        try:
            # Before the checkpoint is read: this ends a transaction that an earlier run left open.
            self._producer = CommandTransactions(settings, name)
            found = self._checkpoint.find(range_consumer.topic_partitions(settings, topics.raw))
            resumable = None if again else found
            self.resumed = resumable is not None
            self.ranges = requested.resolve(settings) if resumable is None else self._check_resumable(resumable)
            _ensure_topic(settings, allowed, self.target)
            if not self.resumed:
                self._checkpoint.begin(allowed, self.ranges)
        except BaseException:
            self.close()
            raise

    def _check_resumable(self, ranges: list[OffsetRange]) -> list[OffsetRange]:
        if not any(offset_range.offsets for offset_range in ranges):
            raise CheckFailedError(
                f"a replay to {self.target} with these options has finished, and would write its events a second time; "
                "--again does that, and counts times such as `2h` from now"
            )
        check_retained(self._settings, ranges)
        return ranges

    @property
    def offsets_left(self) -> int:
        """The number of offsets that this run has to read."""
        return sum(offset_range.offsets for offset_range in self.ranges)

    def run(
        self,
        *,
        rate: float | None,
        interrupted: threading.Event,
        on_start: Callable[[int], None],
        on_done: Callable[[int], None],
    ) -> ReplayResult:
        """Write the events of the ranges, `rate` raw records a second at most, and stop after a batch if interrupted.

        `on_start` is told the number of offsets to read once the deduplication window is restored, `on_done` the number
        of further offsets after each batch. Readers see the events when this returns. Raises DependencyError; what was
        committed stands, and the replay resumes.
        """
        with ReplayPipeline(self._settings, self.ranges, self._filters, self._schema_id) as pipeline:
            pipeline.restore_window(interrupted)
            on_start(self.offsets_left)
            counts = write(
                self._settings,
                self._allowed,
                self.target,
                pipeline,
                self.ranges,
                self._checkpoint,
                self._producer,
                rate=rate,
                interrupted=interrupted,
                on_done=on_done,
            )
        self._producer.await_visible(self.target)
        return ReplayResult(self.ranges, self.resumed, not interrupted.is_set(), self.target, counts)

    def close(self) -> None:
        """Close the connection that keeps the checkpoint."""
        self._checkpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ensure_topic(settings: Settings, allowed: ChangesAllowed | None, target: str) -> None:
    """Create the topic, configured like the output topic, if it is missing. Raises DependencyError."""
    require(allowed, "create topics")
    events = settings.topics.events
    if not missing_topics(settings, [target]):
        return
    partitions = len(range_consumer.topic_partitions(settings, events))
    config = topic_configs(settings)[events]
    topic_creation.create(settings, allowed, [topic_creation.new_topic(settings, target, config, partitions)])


def _schema_id(settings: Settings) -> int:
    """Return the registry's id of the newest schema under the output topic's subject.

    Raises RegistryUnavailableError, RegistryRefusedError, SchemaNotFoundError and ConfigurationError.
    """
    with Registry(settings.schema_registry) as registry:
        return registry.lookup(events_subject(settings, load_schema()), load_schema()).id
