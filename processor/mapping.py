"""A Customer.io webhook into a RudderStack track event: pure, and the hot path.

What becomes what is in schemas/fields.csv and events.csv, and docs/mapping.md tells it in full. Most fields go one to
one from `data` into `properties`, by a plan made once from the catalogue. The few that choose between sources (who it
is about, when, why it failed) are written out here.
"""

from typing import Any, NamedTuple

from schemas import catalogue, values
from schemas.json_body import Inexact, read, read_exactly
from schemas.recipient import is_email, is_phone
from schemas.rejection import ErrorCode, Rejection
from schemas.timestamps import MAX_S, occurred_ms
from schemas.values import MAX_LONG, MIN_LONG, Reader, mapping, name_of, text

Event = dict[str, Any]
"""In the Avro schema's shape: nested dicts, times as Unix milliseconds, absent fields left out."""

_CONTEXT = {"library": {"name": "unknown", "version": "unknown"}, "integration": {"name": "Customer.io"}}
_INTEGRATIONS = {"Customer.io": False}

_DEVICE = "data.recipients[]."


class Step(NamedTuple):
    """How one field of `data` becomes one property."""

    source: str
    """Path in the body."""
    type: str
    """As in the catalogue."""
    reader: Reader
    record: str | None
    """The record within `properties` that holds the target; None for `properties` itself."""
    target: str


class Mapper:
    """Maps bodies by one profile. Stateless once made. The constant parts of its events are shared between them, and
    not to be changed."""

    def __init__(self, profile: str) -> None:
        """`profile`: `rudderstack` or `corrected`. Raises ValueError for any other."""
        if profile not in catalogue.PROFILES:
            raise ValueError(f"there is no profile {profile!r}: take one of {', '.join(catalogue.PROFILES)}")
        self.profile = profile
        self._corrected = profile == "corrected"
        self._steps = plan(profile)
        # Nearly all values are of these two types and need no reader, so they take the short way.
        self._texts = _targets(self._steps, "text")
        self._wholes = _targets(self._steps, "whole")
        self._names: dict[tuple[str | None, str | None], str] = {
            (row.object_type, row.metric): row.event for row in catalogue.events()
        }

    def map(self, body: bytes, *, received_at_ms: int, request_timestamp_s: int | None, event_id: str) -> Event:
        """The event that the body is, whatever the bytes.

        `received_at_ms`: Unix milliseconds. `request_timestamp_s`: X-CIO-Timestamp, None where unknown. `event_id`:
        as `schemas.identity` has it. Raises Rejection, and nothing else.
        """
        try:
            return self.map_payload(read(body), received_at_ms, request_timestamp_s, event_id)
        except Inexact:
            return self.map_payload(read_exactly(body), received_at_ms, request_timestamp_s, event_id)

    def map_payload(self, payload: Any, received_at_ms: int, request_timestamp_s: int | None, event_id: str) -> Event:
        """The same of a body that was read. Raises Rejection, and Inexact where it must be read exactly."""
        if type(payload) is not dict:
            raise Rejection(ErrorCode.NOT_AN_OBJECT, "the body is JSON, but no object")
        data = mapping(payload.get("data"), "data")
        identifiers = mapping(data.get("identifiers"), "data.identifiers")

        occurred = payload.get("timestamp")
        if type(occurred) is int and 0 <= occurred <= MAX_S:
            occurred *= 1000
        elif occurred is not None:
            occurred = occurred_ms(occurred, "timestamp")

        properties: dict[str, Any] = {}
        object_type, at = payload.get("object_type"), "object_type"
        if object_type is None:
            # Customer.io's description of changed preferences has it by this name.
            object_type, at = payload.get("object_type_type"), "object_type_type"
        if object_type is not None:
            properties["objectType"] = object_type = text(object_type, at)
        metric = payload.get("metric")
        if metric is not None:
            properties["metric"] = metric = text(metric, "metric")
        own_id = name_of(payload.get("event_id"), "event_id") or name_of(data.get("event_id"), "data.event_id")
        if own_id is not None:
            properties["eventId"] = own_id
        self._carry(data, properties)

        event: Event = {
            "type": "track",
            "event": self._names.get((object_type, metric)) or catalogue.event_name(object_type, metric),
            "messageId": event_id,
            "channel": "server",
            "timestamp": received_at_ms if occurred is None else occurred,
            "receivedAt": received_at_ms,
            "integrations": _INTEGRATIONS,
        }
        if occurred is not None:
            event["originalTimestamp"] = occurred
            if not self._corrected:
                event["sentAt"] = occurred
        if self._corrected and request_timestamp_s is not None and 0 <= request_timestamp_s <= MAX_S:
            event["sentAt"] = request_timestamp_s * 1000
        self._say_who(event, properties, data, identifiers, object_type)
        if properties:
            event["properties"] = properties
        return event

    def _carry(self, data: dict[str, Any], properties: dict[str, Any]) -> None:
        """Adds the properties that have one source."""
        texts, wholes, steps = self._texts, self._wholes, self._steps
        for name, value in data.items():
            kind = type(value)
            if kind is str:
                if name in texts:
                    properties[texts[name]] = value
                    continue
            elif kind is int:
                if name in wholes and MIN_LONG <= value <= MAX_LONG:
                    properties[wholes[name]] = value
                    continue
            elif value is None:
                continue
            if name in steps:
                source, _, reader, record, target = steps[name]
                holder = properties if record is None else properties.setdefault(record, {})
                holder[target] = reader(value, source)
        if "recipients" in properties and "reason" not in properties:
            for device in properties["recipients"][:1]:
                if "failure_message" in device:
                    properties["reason"] = device["failure_message"]

    def _say_who(
        self,
        event: Event,
        properties: dict[str, Any],
        data: dict[str, Any],
        identifiers: dict[str, Any],
        object_type: str | None,
    ) -> None:
        """Adds userId or anonymousId, and the context with the person's traits."""
        traits = {}
        email = name_of(identifiers.get("email"), "data.identifiers.email")
        if self._corrected:
            recipient = name_of(data.get("recipient"), "data.recipient")
            if recipient is None:
                pass
            elif is_email(recipient):
                email = email or recipient
            elif is_phone(recipient, (object_type or "").lower()):
                traits["phone"] = recipient
            else:
                properties["recipient"] = recipient
        elif email is None:
            email = name_of(data.get("recipient"), "data.recipient")
        if email is None:
            email = name_of(data.get("email_address"), "data.email_address")
        cio_id = name_of(identifiers.get("cio_id"), "data.identifiers.cio_id")
        if email is not None:
            traits["email"] = email
        if cio_id is not None:
            traits["cioId"] = cio_id
        event["context"] = {**_CONTEXT, "traits": traits} if traits else _CONTEXT

        user_id = name_of(data.get("customer_id"), "data.customer_id")
        if user_id is None:
            user_id = name_of(identifiers.get("id"), "data.identifiers.id")
        if user_id is not None:
            event["userId"] = user_id
        elif email or cio_id:
            event["anonymousId"] = email or cio_id
        else:
            raise Rejection(
                ErrorCode.MISSING_IDENTITY,
                "nothing says whom the event is about: data.customer_id, data.identifiers (id, email, cio_id), "
                "data.recipient and data.email_address are absent, blank, or no identity",
                "data.identifiers",
            )


def plan(profile: str) -> dict[str, Step]:
    """The fields of `data` that become one property each, without a choice: by their names."""
    steps = {}
    for row in catalogue.fields():
        place, _, name = row.sources[0].rpartition(".")
        to, _, target = row.target.rpartition(".")
        if row.holds_for(profile) and place == "data" and row.type in _READERS and not row.condition:
            steps[name] = Step(row.sources[0], row.type, _READERS[row.type], to.partition(".")[2] or None, target)
    return steps


def _targets(steps: dict[str, Step], kind: str) -> dict[str, str]:
    return {name: step.target for name, step in steps.items() if step.type == kind and step.record is None}


_READERS: dict[str, Reader] = {
    "text": text,
    "whole": values.whole,
    "boolean": values.boolean,
    "headers": values.header_lists,
}
_READERS["devices"] = values.records(
    {
        row.sources[0].removeprefix(_DEVICE): _READERS[row.type]
        for row in catalogue.fields()
        if row.sources[0].startswith(_DEVICE)
    }
)
