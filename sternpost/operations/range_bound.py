"""Where a range of records starts or ends, as people write it: a time, an age, an offset, the beginning or the end."""

import re
import time
from typing import NamedTuple

from schemas.customerio.lossless_json import occurred_ms
from schemas.error_codes import PayloadRejectedError

_AGE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_OFFSET = re.compile(r"offset:(\d+)")
_OFFSETS = re.compile(r"\d+:\d+(?:,\d+:\d+)*")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}

FORMS = "2026-11-24T03:00:00Z, 2h (ago), now"
"""Examples of times, for messages."""


class Beginning(NamedTuple):
    """The oldest record that is kept."""


class End(NamedTuple):
    """The offset after the newest committed record."""


class Time(NamedTuple):
    """The first record with this timestamp or a later one."""

    ms: int
    """Unix milliseconds."""


class Offsets(NamedTuple):
    """An offset in every partition, or in some of them."""

    every: int | None
    by_partition: dict[int, int]

    def of(self, partition: int) -> int | None:
        """Return the offset in a partition; None if the partition is not named."""
        return self.by_partition.get(partition, self.every)


RangeBound = Beginning | End | Time | Offsets


def parse_time(text: str, now_ms: int | None = None) -> int:
    """Return the Unix milliseconds of a time such as `2026-11-24T03:00:00Z`, an age such as `2h`, or `now`.

    A time without a zone is in UTC. The units of an age are `ms`, `s`, `m`, `h`, `d` and `w`; it counts back from
    `now_ms` (Unix milliseconds). Raises ValueError.
    """
    now = int(time.time() * 1000) if now_ms is None else now_ms
    if text == "now":
        return now
    if age := _AGE.fullmatch(text):
        return now - int(float(age[1]) * _UNIT_MS[age[2]])
    try:
        found = None if text.isdigit() else occurred_ms(text, "the time")
    except PayloadRejectedError:
        found = None
    if found is None:
        raise ValueError(f"{text!r} is not a time; write a time like this: {FORMS}")
    return found


def parse(text: str, now_ms: int | None = None) -> RangeBound:
    """Parse `beginning`, `end`, a time as `parse_time` does, `offset:1200`, or `0:1200,3:900` (partition:offset).

    Raises ValueError.
    """
    if text == "beginning":
        return Beginning()
    if text == "end":
        return End()
    if offset := _OFFSET.fullmatch(text):
        return Offsets(int(offset[1]), {})
    if _OFFSETS.fullmatch(text):
        pairs = [pair.split(":") for pair in text.split(",")]
        return Offsets(None, {int(partition): int(offset) for partition, offset in pairs})
    try:
        return Time(parse_time(text, now_ms))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a place in a topic; write a time ({FORMS}), `beginning`, `end`, `offset:1200` for every "
            "partition, or `0:1200,3:900` (partition:offset)"
        ) from None
