"""From and to, as people write them, into spans of the raw topic."""

from collections.abc import Collection

from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.customerio.timestamps import iso
from sternpost.operations.offset_spec import Beginning, End, Offsets, Position, Time


def resolve(
    settings: Settings,
    start: Position,
    end: Position,
    partitions: Collection[int] = (),
    *,
    skip_expired: bool = False,
) -> list[OffsetRange]:
    """The spans from `start` up to, and without, `end`; of all partitions where none are named.

    Raises DependencyError where there is nothing there to map, or where retention has removed part of it and
    `skip_expired` does not say that what is left will do.
    """
    topic = settings.topics.raw
    named = [set(at.by_partition) for at in (start, end) if isinstance(at, Offsets) and at.every is None]
    if partitions:
        named.append(set(partitions))
    wanted = set.intersection(*named) if named else None
    if wanted is not None and not wanted:
        raise DependencyError("the range and --partition name no partition in common")
    kept = range_consumer.readable_ranges(settings, topic, wanted)
    starts, ends = _offsets(settings, start, kept), _offsets(settings, end, kept)
    spans = [OffsetRange(at.partition, starts[at.partition], min(ends[at.partition], at.end)) for at in kept]
    for span, there in zip(spans, kept, strict=True):
        anywhere = skip_expired or isinstance(start, Beginning)
        if not anywhere and there.start > 0 and span.start <= there.start < span.end:
            _refuse_expired(topic, start, span, there)
    spans = [span._replace(start=max(span.start, there.start)) for span, there in zip(spans, kept, strict=True)]
    if not any(span.offsets for span in spans):
        held = ", ".join(f"{at.partition}:{at.start}…{at.end}" for at in kept)
        raise DependencyError(f"there is nothing in that range of {topic}; its partitions hold the offsets {held}")
    return [span for span in spans if span.offsets]


def check_kept(settings: Settings, spans: Collection[OffsetRange]) -> None:
    """Raises DependencyError where retention has removed the beginning of a span meanwhile."""
    topic = settings.topics.raw
    wanted = {span.partition: span for span in spans if span.offsets}
    if not wanted:
        return
    for there in range_consumer.readable_ranges(settings, topic, wanted):
        span = wanted[there.partition]
        if there.start > span.start:
            raise DependencyError(
                f"retention removed {topic} {span.partition}:{span.start} to {there.start - 1} before it was replayed. "
                "What was committed stands. Raise retention.ms of the topic, and start over from what is still there "
                "with --from and --again"
            )


def _offsets(settings: Settings, at: Position, kept: list[OffsetRange]) -> dict[int, int]:
    match at:
        case Beginning():
            return {span.partition: span.start for span in kept}
        case End():
            return {span.partition: span.end for span in kept}
        case Time(ms):
            found = range_consumer.offsets(settings, settings.topics.raw, {span.partition: ms for span in kept})
            return {s.partition: found[s.partition] if found[s.partition] >= 0 else s.end for s in kept}
        case Offsets():
            return {span.partition: at.of(span.partition) or 0 for span in kept}


def _refuse_expired(topic: str, start: Position, asked: OffsetRange, there: OffsetRange) -> None:
    """A start by offset is refused where that offset is gone; one by time where nothing older than it is left, since
    then nobody can tell what was between."""
    if isinstance(start, Time):
        raise DependencyError(
            f"retention has removed part of the range: the oldest record of {topic} in partition {there.partition} is "
            f"at offset {there.start}, and records from {iso(start.ms)} on may have been before it. Start later, or "
            "take what is left with --skip-expired"
        )
    if asked.start < there.start:
        raise DependencyError(
            f"retention has removed part of the range: {topic} partition {there.partition} begins at offset "
            f"{there.start}, after {asked.start}. Start there, or take what is left with --skip-expired"
        )
