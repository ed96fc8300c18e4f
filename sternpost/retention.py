"""Whether a topic keeps the events that are written to it.

Brokers count retention from a record's own time, which is when its event occurred. What is older than that when it is
written is gone at their next look, within minutes, read or not.
"""

import time
from collections.abc import Sequence

from runtime.errors import DependencyError
from runtime.settings import Settings
from sternpost import reader, topics
from sternpost.reader import Span

DAY_MS = 86_400_000


def age_ms(settings: Settings, spans: Sequence[Span]) -> int:
    """How long ago the oldest record of the spans was received, by the first of each. Raises DependencyError."""
    first = reader.first_messages(settings, settings.topics.raw, [span for span in spans if span.offsets])
    now_ms = time.time_ns() // 1_000_000
    return max((now_ms - message.timestamp()[1] for message in first.values()), default=0)


def kept_from_ms(settings: Settings, topic: str) -> int:
    """Events that occurred before this time (Unix milliseconds) are not kept; 0 where that is for ever, or not told."""
    kept_ms = topics.retention_ms(settings, topic)
    return 0 if kept_ms is None or kept_ms < 0 else time.time_ns() // 1_000_000 - kept_ms


def long_enough_ms(settings: Settings, age_ms: int) -> int:
    """A retention that leaves events of that age in a topic for as long as others."""
    kept_ms = settings.topics.events_retention_ms
    return kept_ms if kept_ms < 0 else kept_ms + age_ms


def check(settings: Settings, topic: str, age_ms: int, instead: str) -> None:
    """Raises DependencyError where the topic would not keep events of that age; `instead` is what else may be done."""
    kept_ms = topics.retention_ms(settings, topic)
    if kept_ms is None or kept_ms < 0 or age_ms < kept_ms:
        return
    mend = topics.alter_command(settings, topic, "retention.ms", long_enough_ms(settings, age_ms))
    raise DependencyError(
        f"{topic} keeps events for {kept_ms / DAY_MS:.1f} days from when they occurred (retention.ms), and what is "
        f"meant begins {age_ms / DAY_MS:.1f} days ago: brokers would remove what is older within minutes, read or not. "
        f"Raise it (`{mend}`), {instead}, or take the risk with --may-expire"
    )
