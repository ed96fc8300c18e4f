"""Search a topic for few records among many: in windows, so that it can report, stop, and begin where it is likely."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import Message, OffsetRange
from runtime.settings.model import Settings

WINDOW = 100_000
"""Offsets of all partitions in the first window; each further one has twice as many, up to `LARGEST_WINDOW`."""
LARGEST_WINDOW = 1_600_000

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def search(
    settings: Settings,
    topic: str,
    ranges: Sequence[OffsetRange],
    matches: Callable[[Message], bool],
    *,
    newest_first: bool = False,
    stop: threading.Event,
    on_read: Callable[[int], None] = lambda _: None,
) -> Iterator[list[Message]]:
    """Yield the records of the ranges that match, as they are found; within a window, each partition in order.

    `on_read` is told the number of further offsets. It ends early when asked to stop. Raises DependencyError.
    """
    for window in windows(ranges, newest_first=newest_first):
        left = sum(part.offsets for part in window)
        for messages in range_consumer.read_ranges(settings, topic, window):
            if stop.is_set():
                return
            if found := list(filter(matches, messages)):
                yield found
            left -= len(messages)
            on_read(len(messages))
        on_read(left)  # offsets without a record: transaction markers
        if stop.is_set():
            return


def windows(ranges: Iterable[OffsetRange], *, newest_first: bool) -> Iterator[list[OffsetRange]]:
    """Cut ranges into windows, with the same share of each partition."""
    left, size = [part for part in ranges if part.offsets], WINDOW
    while left:
        share = max(1, size // len(left))
        size = min(2 * size, LARGEST_WINDOW)
        if newest_first:
            yield [part._replace(start=max(part.start, part.end - share)) for part in left]
            left = [part._replace(end=max(part.start, part.end - share)) for part in left]
        else:
            yield [part._replace(end=min(part.end, part.start + share)) for part in left]
            left = [part._replace(start=min(part.end, part.start + share)) for part in left]
        left = [part for part in left if part.offsets]


def since(settings: Settings, topic: str, ms: int, ranges: Sequence[OffsetRange]) -> list[OffsetRange]:
    """Return the part of each range that is dated `ms` (Unix milliseconds) or later. Raises DependencyError."""
    starts = range_consumer.offsets(settings, topic, {part.partition: max(0, ms) for part in ranges})
    return [
        part._replace(start=min(part.end, max(part.start, starts[part.partition])))
        for part in ranges
        if starts[part.partition] >= 0
    ]


def without(ranges: Iterable[OffsetRange], later: Iterable[OffsetRange]) -> list[OffsetRange]:
    """Return what comes before `later` in each range; all of a range that `later` does not have."""
    starts = {part.partition: part.start for part in later}
    return [part._replace(end=starts.get(part.partition, part.end)) for part in ranges]


def time_in(event_id: str) -> int | None:
    """Return the time in a ULID, in Unix milliseconds; None for any other id.

    Customer.io's event ids are ULIDs, which begin with the time they were made at: https://github.com/ulid/spec.
    """
    if not _ULID.fullmatch(event_id):
        return None
    ms = 0
    for letter in event_id[:10]:
        ms = ms * 32 + _BASE32.index(letter)
    return ms
