"""Records of the three topics, and their places, as the fault tests read them."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Topics(NamedTuple):
    """Their names."""

    raw: str = "customerio.raw"
    events: str = "rudderstack.events"
    dead_letters: str = "customerio.dead-letters"


RAW, EVENTS, DEAD_LETTERS = Topics()

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Record(NamedTuple):
    """A record of any of the topics."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset


def at(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic} {partition}@{offset}"


def raw_of_dead_letter(record: Record) -> Place:
    """The raw record that a dead letter names."""
    return place_in({name.removeprefix("raw_"): value.decode() for name, value in record.headers.items()})


def place_in(named: Mapping[str, Any]) -> Place:
    return str(named.get("topic")), int(named.get("partition", -1)), int(named.get("offset", -1))
