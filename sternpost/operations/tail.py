"""The events of the output topic as they are committed."""

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from runtime.kafka import range_consumer
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from schemas.track_event import EventReader, track_json


class TailedEvent(NamedTuple):
    """One committed record of the events topic."""

    partition: int
    offset: int
    written_ms: int
    """Unix milliseconds."""
    headers: list[tuple[str, bytes | None]]
    event: dict[str, Any] | None
    """The event in RudderStack's JSON form; None if the record is not one, or its schema is not in the registry."""
    size_bytes: int


def tail(
    settings: Settings,
    *,
    from_beginning: bool = False,
    follow: bool = True,
    idle_s: float | None = None,
    stop: threading.Event | None = None,
) -> Iterator[TailedEvent]:
    """Yield the events that a sink with isolation.level=read_committed sees, all partitions, each in order.

    `from_beginning` starts with the oldest instead of the next one. Without `follow` it ends with the newest; with it,
    after `idle_s` seconds without an event, or when asked to stop. Raises DependencyError.
    """
    messages = range_consumer.read(
        settings,
        settings.topics.events,
        start=range_consumer.FROM_BEGINNING if from_beginning else range_consumer.FROM_END,
        follow=follow,
        idle_s=idle_s,
        stop=stop,
    )
    with Registry(settings.schema_registry) as registry:
        decode = EventReader(registry.schema)
        for message in messages:
            value = message.value() or b""
            try:
                event = track_json(decode(value))
            except ValueError:
                event = None
            yield TailedEvent(
                message.partition() or 0,
                message.offset() or 0,
                message.timestamp()[1],
                range_consumer.headers_of(message),
                event,
                len(value),
            )
