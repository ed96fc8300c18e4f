"""Places in a topic as people write them: a time, an age, an offset, an end."""

import re
import time
from typing import NamedTuple

from schemas.customerio.timestamps import occurred_ms
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
    """Behind the newest record that is committed."""


class Time(NamedTuple):
    """The first record with this timestamp or a later one."""

    ms: int


class Offsets(NamedTuple):
    """An offset in each partition, or in each of some."""

    every: int | None
    by_partition: dict[int, int]

    def of(self, partition: int) -> int | None:
        """None where the partition is not named."""
        return self.by_partition.get(partition, self.every)


Position = Beginning | End | Time | Offsets


def moment_ms(text: str, now_ms: int | None = None) -> int:
    """Unix milliseconds of `2026-11-24T03:00:00Z` (without a zone: UTC), of an age such as `90s`, `2h`, `7d`, or `now`.

    Raises ValueError.
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
        raise ValueError(f"{text!r} is no time; times are written like this: {FORMS}")
    return found


def parse(text: str, now_ms: int | None = None) -> Position:
    """`beginning`, `end`, a time as in `moment_ms`, `offset:1200`, or `0:1200,3:900` (partition:offset).

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
        return Time(moment_ms(text, now_ms))
    except ValueError:
        raise ValueError(
            f"{text!r} is no place in a topic; write a time ({FORMS}), `beginning`, `end`, `offset:1200` for every "
            "partition, or `0:1200,3:900` (partition:offset)"
        ) from None
