"""Count dead letters by group and over time, and list the newest, in bounded memory whatever the topic holds."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.track_event import iso
from sternpost.operations.dead_letters.index import DeadLetterEntry, DeadLetterIndex
from sternpost.operations.dead_letters.record import DeadLetterRecord
from sternpost.operations.dead_letters.selection import OnProgress, Selection, find, ignore_progress, ranges_of, read
from sternpost.operations.dead_letters.summary import DeadLetterGroup, summarize

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_STEPS_MS = (
    *(_MINUTE_MS * minutes for minutes in (1, 5, 15)),
    *(_HOUR_MS * hours for hours in (1, 6)),
    *(_DAY_MS * days for days in (1, 7, 30, 365)),
)
_MOST_STEPS = 60


class LookedAt(NamedTuple):
    """Which part of the topic a listing has read."""

    records: int
    """Offsets that were read."""
    of: int
    """Offsets that would have had to be read."""
    since_ms: int | None
    """The time from which every selected dead letter was read, in Unix milliseconds; None if all of them were."""
    redrives_unread: bool
    """Whether a letter may have been sent back after what was read, and is listed all the same."""

    @property
    def complete(self) -> bool:
        """Whether everything was read."""
        return self.records == self.of

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON for scripts."""
        return {
            "records": self.records,
            "of": self.of,
            "complete": self.complete,
            "since": None if self.since_ms is None else iso(self.since_ms),
            "redrives_unread": self.redrives_unread,
        }


class OverTime(NamedTuple):
    """Dead letters by the time at which they failed."""

    step_ms: int
    starts_ms: list[int]
    """The beginning of each step, in Unix milliseconds; none is left out between the first and the last."""
    by_code: dict[str, list[int]]
    """For each code, the number of dead letters in each step."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON for scripts."""
        return {
            "step_s": self.step_ms // 1000,
            "steps": [
                {
                    "from": iso(start),
                    "by_code": {code: counts[at] for code, counts in self.by_code.items() if counts[at]},
                }
                for at, start in enumerate(self.starts_ms)
            ],
        }


class DeadLetterListing(NamedTuple):
    """Counts of the selected dead letters, and the newest of them."""

    letters: DeadLetterIndex
    groups: list[DeadLetterGroup]
    over_time: OverTime
    newest: list[DeadLetterRecord]
    """The newest last."""
    looked_at: LookedAt

    @property
    def total(self) -> int:
        """The number of selected dead letters."""
        return len(self.letters)

    def as_json(self) -> dict[str, Any]:
        """Return the listing as JSON for scripts."""
        return {
            "total": self.total,
            "groups": [group.as_json() for group in self.groups],
            "over_time": self.over_time.as_json(),
            "dead_letters": [letter.as_json() for letter in self.newest],
            "looked_at": self.looked_at.as_json(),
        }


def list_dead_letters(
    settings: Settings,
    selection: Selection,
    limit: int,
    on_read: OnProgress = ignore_progress,
    most_records: int = 0,
) -> DeadLetterListing:
    """Count the selected dead letters, and read the newest `limit` of them (0 for all).

    `most_records` is the number of the topic's newest records to read (0 for all): with it, memory and time are bounded
    whatever the topic holds. With `until_ms`, they are the newest before that time, and as many after it are searched
    for redrives. Raises DependencyError.
    """
    wanted = ranges_of(settings, selection)
    ranges, cut, redrives_unread = _newest(settings, wanted, selection.until_ms, most_records)
    letters = find(settings, selection, on_read, ranges)
    looked_at = LookedAt(
        sum(offset_range.offsets for offset_range in ranges),
        sum(offset_range.offsets for offset_range in wanted),
        _dated(settings, [offset_range for offset_range in ranges if offset_range.partition in cut]),
        redrives_unread,
    )
    return DeadLetterListing(letters, summarize(letters), over_time(letters), page(settings, letters, limit), looked_at)


def page(settings: Settings, letters: DeadLetterIndex, limit: int, skip: int = 0) -> list[DeadLetterRecord]:
    """Read the newest `limit` dead letters of the index (0 for all) before the newest `skip`; the newest come last.

    Raises DependencyError.
    """
    found = [letter for batch in read(settings, letters.newest(limit, skip)) for letter, _ in batch]
    return sorted(found, key=lambda letter: (letter.failed_at_ms, letter.partition, letter.offset))


def over_time(letters: Iterable[DeadLetterEntry]) -> OverTime:
    """Count the dead letters in at most 60 steps of a minute to a year; those older than the first count in it."""
    by_minute: Counter[tuple[int, str]] = Counter(
        (letter.failed_at_ms // _MINUTE_MS * _MINUTE_MS, letter.group.code) for letter in letters
    )
    if not by_minute:
        return OverTime(_MINUTE_MS, [], {})
    first, last = min(at for at, _ in by_minute), max(at for at, _ in by_minute)
    step = next((step for step in _STEPS_MS if last // step - first // step < _MOST_STEPS), _STEPS_MS[-1])
    number = min(_MOST_STEPS, last // step - first // step + 1)
    starts = [(last // step - back) * step for back in reversed(range(number))]
    by_code = {code: [0] * len(starts) for _, code in sorted(by_minute, key=lambda item: item[1])}
    for (at, code), number in by_minute.items():
        by_code[code][max(0, (at - starts[0]) // step)] += number
    return OverTime(step, starts, by_code)


def _newest(
    settings: Settings, wanted: list[OffsetRange], until_ms: int | None, most: int
) -> tuple[list[OffsetRange], set[int], bool]:
    """Return the ranges to read, the partitions with older letters than these, and whether redrives are left out."""
    if not most or sum(offset_range.offsets for offset_range in wanted) <= most:
        return wanted, set(), False
    share = max(1, most // len(wanted))
    ends = {offset_range.partition: offset_range.end for offset_range in wanted}
    if until_ms is not None:
        at = range_consumer.offsets(settings, settings.topics.dead_letters, dict.fromkeys(ends, until_ms))
        ends = {partition: end if at[partition] < 0 else at[partition] for partition, end in ends.items()}
    ranges, cut, redrives_unread = [], set(), False
    for there in wanted:
        end = max(there.start, ends[there.partition])
        start = max(there.start, end - share)
        if start > there.start:
            cut.add(there.partition)
        after = min(there.end, end + share) if until_ms is not None else there.end
        redrives_unread |= after < there.end
        ranges.append(OffsetRange(there.partition, start, after))
    return ranges, cut, redrives_unread


def _dated(settings: Settings, ranges: list[OffsetRange]) -> int | None:
    """Return the latest of the times of the ranges' first records; None if there are no ranges."""
    first = range_consumer.first_messages(settings, settings.topics.dead_letters, ranges)
    return max((message.timestamp()[1] for message in first.values()), default=None)
