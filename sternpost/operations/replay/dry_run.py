"""A replay that writes nothing: what it would change in the output topic."""

from collections.abc import Callable
from typing import Any, NamedTuple

from runtime.graceful_interrupt import StopRequest
from runtime.kafka.range_consumer import OffsetRange
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from sternpost.operations.replay.compare import Difference, compare
from sternpost.operations.replay.existing_events import ExistingEvents
from sternpost.operations.replay.filters import Filters
from sternpost.operations.replay.replay_pipeline import ReplayPipeline


class DryRunResult(NamedTuple):
    """What a replay would change."""

    ranges: list[OffsetRange]
    """The ranges of the raw topic that were mapped."""
    difference: Difference
    unreadable: int
    """Records of the output topic that cannot be decoded as events; they were skipped."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON for scripts."""
        return {
            "range": [offset_range._asdict() for offset_range in self.ranges],
            **self.difference.as_json(),
            "unreadable": self.unreadable,
        }


def dry_run(
    settings: Settings,
    ranges: list[OffsetRange],
    filters: Filters,
    *,
    show_values: bool,
    interrupted: StopRequest,
    on_start: Callable[[int], None],
    on_done: Callable[[int], None],
) -> DryRunResult:
    """Map the ranges of the raw topic and compare the result with the events in the output topic.

    Values are people's data: without `show_values`, examples tell their type alone. If interrupted, the result covers
    a part of the ranges. `on_start` is told the number of offsets to read, `on_done` the number of further offsets
    after each batch. Raises DependencyError.
    """
    existing = ExistingEvents(settings, settings.topics.events, ranges)
    try:
        with (
            Registry(settings.schema_registry) as registry,
            ReplayPipeline(settings, ranges, filters, schema_id=0) as pipeline,
        ):
            output = existing.output_ranges()
            on_start(sum(offset_range.offsets for offset_range in [*output, *ranges]))
            existing.read(output, registry.schema, on_done, interrupted)
            pipeline.restore_window(interrupted)
            difference = compare(
                pipeline,
                existing,
                registry.schema,
                show_values=show_values,
                on_done=on_done,
                interrupted=interrupted,
            )
    finally:
        existing.close()
    return DryRunResult(ranges, difference, existing.unreadable)
