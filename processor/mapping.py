"""A Customer.io webhook into a RudderStack track event: pure, and the hot path.

What becomes what is in schemas/fields.csv and events.csv, and docs/mapping.md tells it in full. Most fields go one to
one from `data` into `properties`; these run over a table made from the catalogue once. The few that choose between
sources (who it is about, when, why it failed) are written out here.
"""

from typing import Any, NamedTuple

from schemas import catalogue, values
from schemas.json_body import Inexact, read, read_exactly
from schemas.recipient import is_email, is_phone
from schemas.rejection import ErrorCode, Rejection
from schemas.timestamps import MAX_S, occurred_ms
from schemas.values import MAX_LONG, Reader, is_blank, mapping, text

Event = dict[str, Any]
"""In the Avro schema's shape: nested dicts, times as Unix milliseconds, absent fields left out."""

_LIBRARY = {"name": "unknown", "version": "unknown"}
_INTEGRATION = {"name": "Customer.io"}
_CONTEXT = {"library": _LIBRARY, "integration": _INTEGRATION}
_INTEGRATIONS = {"Customer.io": False}


class Step(NamedTuple):
    """How one field of `data` becomes one property."""

    record: str | None
    """The record within `properties` that holds the target; None for `properties` itself."""
    target: str
    plain: type
    """A value of this type is carried as it is (integers within 64 bits); any other goes through `reader`."""
    reader: Reader
    path: str


class Mapper:
    """Maps bodies by one profile. Stateless once made; shares no dict between events but the constant ones, which are
    not to be changed."""

    def __init__(self, profile: str) -> None:
        """`profile`: `rudderstack` or `corrected`. Raises ValueError for any other."""
        if profile not in catalogue.PROFILES:
            raise ValueError(f"there is no profile {profile!r}: take one of {', '.join(catalogue.PROFILES)}")
        self.profile = profile
        self.steps = steps(profile)
        self._corrected = profile == "corrected"

    def map(self, body: bytes, *, received_at_ms: int, request_timestamp_s: int | None, event_id: str) -> Event:
        """The event that the body is, whatever the bytes.

        `received_at_ms`: Unix milliseconds. `request_timestamp_s`: X-CIO-Timestamp, None where unknown. `event_id`:
        as `schemas.identity` has it. Raises Rejection, and nothing else.
        """
        try:
            return self._event(read(body), received_at_ms, request_timestamp_s, event_id)
        except Inexact:
            return self._event(read_exactly(body), received_at_ms, request_timestamp_s, event_id)

    def _event(self, payload: Any, received_at_ms: int, request_timestamp_s: int | None, event_id: str) -> Event:
        if type(payload) is not dict:
            raise Rejection(ErrorCode.NOT_AN_OBJECT, "the body is JSON, but no object")
        data = mapping(payload.get("data"), "data")
        identifiers = mapping(data.get("identifiers"), "data.identifiers")

        occurred = payload.get("timestamp")
        if type(occurred) is int and 0 <= occurred <= MAX_S:
            occurred *= 1000
        elif occurred is not None:
            occurred = occurred_ms(occurred, "timestamp")

        properties, object_type, metric = self._properties(payload, data)
        event: Event = {
            "type": "track",
            "event": catalogue.event_name(object_type, metric),
            "messageId": event_id,
            "channel": "server",
            "timestamp": received_at_ms if occurred is None else occurred,
            "receivedAt": received_at_ms,
            "integrations": _INTEGRATIONS,
        }
        self._say_who(event, properties, data, identifiers, object_type)
        if properties:
            event["properties"] = properties
        if occurred is not None:
            event["originalTimestamp"] = occurred
        if not self._corrected:
            if occurred is not None:
                event["sentAt"] = occurred
        elif request_timestamp_s is not None and 0 <= request_timestamp_s <= MAX_S:
            event["sentAt"] = request_timestamp_s * 1000
        return event

    def _properties(
        self, payload: dict[str, Any], data: dict[str, Any]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """The properties, and object type and metric with them."""
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
        event_id = _identity(payload.get("event_id"), "event_id") or _identity(data.get("event_id"), "data.event_id")
        if event_id is not None:
            properties["eventId"] = event_id

        find = self.steps.get
        for name, value in data.items():
            step = find(name)
            if step is None or value is None:
                continue
            record, target, plain, reader, path = step
            kind = type(value)
            if kind is not plain or (kind is int and value > MAX_LONG):
                value = reader(value, path)  # noqa: PLW2901
            if record is None:
                properties[target] = value
            else:
                properties.setdefault(record, {})[target] = value

        if "reason" not in properties and (devices := properties.get("recipients")):
            reason = devices[0].get("failure_message")
            if reason is not None:
                properties["reason"] = reason
        return properties, object_type, metric

    def _say_who(
        self,
        event: Event,
        properties: dict[str, Any],
        data: dict[str, Any],
        identifiers: dict[str, Any],
        object_type: str | None,
    ) -> None:
        traits = {}
        email = _identity(identifiers.get("email"), "data.identifiers.email")
        if self._corrected:
            recipient = _identity(data.get("recipient"), "data.recipient")
            if recipient is None:
                pass
            elif is_email(recipient):
                email = email or recipient
            elif is_phone(recipient, (object_type or "").lower()):
                traits["phone"] = recipient
            else:
                properties["recipient"] = recipient
        else:
            email = email or _identity(data.get("recipient"), "data.recipient")
        email = email or _identity(data.get("email_address"), "data.email_address")
        cio_id = _identity(identifiers.get("cio_id"), "data.identifiers.cio_id")
        if email is not None:
            traits["email"] = email
        if cio_id is not None:
            traits["cioId"] = cio_id
        event["context"] = {**_CONTEXT, "traits": traits} if traits else _CONTEXT

        user_id = _identity(data.get("customer_id"), "data.customer_id") or _identity(
            identifiers.get("id"), "data.identifiers.id"
        )
        if user_id is not None:
            event["userId"] = user_id
        elif email is not None or cio_id is not None:
            event["anonymousId"] = email or cio_id
        else:
            raise Rejection(
                ErrorCode.MISSING_IDENTITY,
                "nothing says whom the event is about: data.customer_id, data.identifiers.id, .email and .cio_id, "
                "data.recipient and data.email_address are all absent, blank, or no identity",
                "data.identifiers",
            )


def steps(profile: str) -> dict[str, Step]:
    """For each field of `data` that becomes one property: how."""
    made = {}
    for row in catalogue.fields():
        source, *others = row.sources
        if row.holds_for(profile) and not row.condition and source.startswith("data.") and row.type in _READERS:
            name = source.removeprefix("data.")
            target = row.target.removeprefix("properties.")
            if target == row.target or "." in name or "[" in name or (others and row.target != "properties.reason"):
                continue
            *record, target = target.split(".")
            plain, reader = _READERS[row.type]
            made[name] = Step(record[0] if record else None, target, plain, reader, source)
    return made


def _identity(value: Any, path: str) -> str | None:
    """Text that names someone or something; blank counts as absent."""
    if value is None:
        return None
    if type(value) is not str:
        value = text(value, path)
    return None if is_blank(value) else value


class _Never:
    """The type of no value, so that each one goes through its reader."""


_READERS: dict[str, tuple[type, Reader]] = {
    "text": (str, text),
    "whole": (int, values.whole),
    "boolean": (bool, values.boolean),
    "headers": (_Never, values.header_lists),
    "devices": (
        _Never,
        values.records(dict.fromkeys(("device_id", "device_platform", "failure_message"), text)),
    ),
}
