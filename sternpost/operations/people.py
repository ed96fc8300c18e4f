"""Find the records of a person in the three topics: by whatever names them, and by reading every record.

A record's key says where a person's records are, but not to us: programs in other languages that write to the raw topic
may partition otherwise, and a person can be named by an id in one record and by an address in the next. So every record
of every partition is read, a batch at a time, and nothing is kept of it.
"""

import base64
import threading
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import Message, OffsetRange
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from schemas.customerio.lossless_json import read
from schemas.error_codes import PayloadRejectedError
from schemas.track_event import EventReader, iso, track_json

BATCH = 1_000
"""Records in memory at a time, of `ingest.max_body_bytes` each at most."""

IN_BODIES = (
    *("data.customer_id", "data.identifiers.id", "data.identifiers.cio_id", "data.identifiers.email"),
    *("data.email_address", "data.recipient", "data.to", "data.recipients.device_id"),
    *("data.user_id", "data.anonymous_id", "data.email", "customer_id", "user_id", "anonymous_id", "email"),
)
"""Fields of Customer.io's payloads that name a person: https://docs.customer.io/integrations/api/webhooks."""

IN_EVENTS = (
    *("userId", "anonymousId", "context.traits.email", "context.traits.phone", "context.traits.cioId"),
    *("properties.recipient", "properties.to", "properties.deviceId", "properties.recipients.deviceId"),
)
"""Fields of events that name a person."""

KEY = "key"
TEXT = "text"
"""What matched in a value that cannot be parsed: its bytes."""


class Holder(StrEnum):
    """The topics that hold people's records."""

    RAW = "raw"
    EVENTS = "events"
    DEAD_LETTERS = "dead-letters"

    def topic(self, settings: Settings) -> str:
        """Return the topic's name."""
        names = {Holder.RAW: settings.topics.raw, Holder.EVENTS: settings.topics.events}
        return names.get(self, settings.topics.dead_letters)


class FoundRecord(NamedTuple):
    """A record of the person, by its place."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Of the record, in Unix milliseconds."""
    matched: tuple[str, ...]
    """The fields that name the person; `key` is the record's, `text` the bytes of what cannot be parsed."""
    value: bytes
    parsed: Any
    """The value as JSON; None if it cannot be parsed."""

    def as_json(self, *, with_value: bool) -> dict[str, Any]:
        """Return the place as JSON, without the person's data unless `with_value` is set."""
        found: dict[str, Any] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": iso(self.timestamp_ms),
            "matched": list(self.matched),
        }
        if with_value:
            try:
                found["value"] = orjson.Fragment(orjson.dumps(self.parsed, default=str)) if self.parsed else None
            except TypeError:  # a number or a text that JSON cannot carry exactly
                found["value"] = None
            if found["value"] is None:
                found["value_base64"] = base64.b64encode(self.value).decode()
        return found


class Person:
    """The identifiers that a person is looked for by: ids of any kind, email addresses, phone numbers."""

    def __init__(self, identifiers: Collection[str]) -> None:
        """Addresses match in upper and lower case, everything else exactly. Raises ValueError for a blank one."""
        if not identifiers or not all(identifier.strip() for identifier in identifiers):
            raise ValueError("an identifier is empty")
        self._identifiers = frozenset(map(_folded, identifiers))

    def is_named_by(self, value: object) -> bool:
        """Return whether a field's value is one of the identifiers."""
        return isinstance(value, str | int) and not isinstance(value, bool) and _folded(str(value)) in self._identifiers

    def is_in(self, value: bytes) -> bool:
        """Return whether bytes that cannot be parsed hold one of the identifiers."""
        text = value.decode("utf-8", "replace").lower()
        return any(identifier.lower() in text for identifier in self._identifiers)


def find(
    settings: Settings,
    person: Person,
    holders: Collection[Holder] = tuple(Holder),
    *,
    stop: threading.Event,
    on_start: Callable[[str, int], None] = lambda _topic, _offsets: None,
    on_read: Callable[[int], None] = lambda _: None,
) -> Iterator[FoundRecord]:
    """Yield the person's records, topic by topic, each partition in order; end early when asked to stop.

    `on_start` is told each topic and the number of its offsets, `on_read` the number of further records read. Raises
    DependencyError.
    """
    with Registry(settings.schema_registry) as registry:
        for holder in holders:
            topic = holder.topic(settings)
            ranges = range_consumer.readable_ranges(settings, topic)
            on_start(topic, sum(part.offsets for part in ranges))
            parse: Callable[[bytes], Any] = _body
            fields: tuple[str, ...] = IN_BODIES
            if holder is Holder.EVENTS:
                parse, fields = _event_parser(EventReader(registry.schema)), IN_EVENTS
            yield from _search(settings, topic, ranges, person, parse, fields, stop, on_read)


def _search(
    settings: Settings,
    topic: str,
    ranges: list[OffsetRange],
    person: Person,
    parse: Callable[[bytes], Any],
    fields: tuple[str, ...],
    stop: threading.Event,
    on_read: Callable[[int], None],
) -> Iterator[FoundRecord]:
    for messages in range_consumer.read_ranges(settings, topic, ranges, BATCH):
        if stop.is_set():
            return
        for message in messages:
            if found := match(topic, message, person, parse, fields):
                yield found
        on_read(len(messages))


def match(
    topic: str, message: Message, person: Person, parse: Callable[[bytes], Any], fields: tuple[str, ...]
) -> FoundRecord | None:
    """Return the record if it is the person's, else None. `parse` returns None for a value that it cannot read."""
    value, key = message.value() or b"", message.key()
    parsed = parse(value) if value else None
    matched = [KEY] if isinstance(key, bytes) and person.is_named_by(key.decode("utf-8", "replace")) else []
    if parsed is None:
        matched += [TEXT] if person.is_in(value) else []
    else:
        matched += [name for name in fields if any(map(person.is_named_by, _values(parsed, name.split("."))))]
    if not matched:
        return None
    partition, offset = message.partition() or 0, message.offset() or 0
    return FoundRecord(topic, partition, offset, message.timestamp()[1], tuple(matched), value, parsed)


def _values(parsed: Any, path: list[str]) -> Iterator[Any]:
    """Give what stands at a path; a list on the way stands for each of its items."""
    if isinstance(parsed, list):
        for item in parsed:
            yield from _values(item, path)
    elif not path:
        yield parsed
    elif isinstance(parsed, dict) and path[0] in parsed:
        yield from _values(parsed[path[0]], path[1:])


def _body(value: bytes) -> Any:
    """Return a body's JSON object; None if it is none."""
    try:
        parsed = read(value)
    except PayloadRejectedError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _event_parser(decode: EventReader) -> Callable[[bytes], Any]:
    def parse(value: bytes) -> Any:
        try:
            return track_json(decode(value))
        except ValueError:  # not an event of ours
            return None

    return parse


def _folded(identifier: str) -> str:
    text = identifier.strip()
    return text.lower() if "@" in text else text
