"""A Customer.io webhook into a RudderStack track event: pure, and the hot path.

What becomes what is in schemas/fields.csv and events.csv, and docs/mapping.md tells it in full. Most fields go one to
one from `data` into `properties`, by a plan made once from the catalogue. The few that choose between sources (who it
is about, when, why it failed) are written out here.

An event is made flat, and so the writer of Avro takes it: a tree would be made only to be taken apart. `tree` gives
the tree, to those who look into an event that is not encoded.
"""

from typing import Any, NamedTuple

from schemas import catalogue, values
from schemas.json_body import Inexact, read, read_exactly
from schemas.paths import nested
from schemas.recipient import is_email, is_phone
from schemas.rejection import ErrorCode, Rejection
from schemas.timestamps import MAX_S, occurred_ms
from schemas.values import MAX_LONG, MIN_LONG, Reader, mapping, name_of, text

Fields = dict[str, Any]
"""An event's fields by their paths in the Avro schema, as `context.traits.email`, without CONSTANTS; times as Unix
milliseconds, absent fields left out."""

Event = dict[str, Any]
"""The same, and CONSTANTS, as nested dicts."""

CONSTANTS: Fields = catalogue.constants()
"""What all events have in common. Not to be changed."""

_DEVICE = "data.recipients[]."


class Step(NamedTuple):
    """How one field of `data` becomes one property."""

    source: str
    """Path in the body."""
    type: str
    """As in the catalogue."""
    reader: Reader
    target: str
    """Path in the event."""


class Mapper:
    """Maps bodies by one profile. Stateless once made."""

    def __init__(self, profile: str) -> None:
        """`profile`: `rudderstack` or `corrected`. Raises ValueError for any other."""
        if profile not in catalogue.PROFILES:
            raise ValueError(f"there is no profile {profile!r}: take one of {', '.join(catalogue.PROFILES)}")
        self.profile = profile
        self._corrected = profile == "corrected"
        self._steps = plan(profile)
        # Nearly all values are of these two types and need no reader, so they take the short way.
        self._texts = {name: step.target for name, step in self._steps.items() if step.type == "text"}
        self._wholes = {name: step.target for name, step in self._steps.items() if step.type == "whole"}
        self.names: dict[tuple[str | None, str | None], str] = {
            (row.object_type, row.metric): row.event for row in catalogue.events()
        }
        """By object type and metric as they mostly come: what `catalogue.event_name` has for them."""

    def fields(
        self, body: bytes, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str
    ) -> Fields:
        """The event that the body is, whatever the bytes; all of it but `context.origin`, which no body can tell.

        `received_at_ms`: Unix milliseconds. `request_timestamp_s`: X-CIO-Timestamp, None where unknown. `event_id`:
        as `schemas.identity` has it. `source`: the name of the source. Raises Rejection, and nothing else.
        """
        try:
            return self.fields_of(read(body), received_at_ms, request_timestamp_s, event_id, source)
        except Inexact:
            return self.fields_of(read_exactly(body), received_at_ms, request_timestamp_s, event_id, source)

    def fields_of(
        self, payload: Any, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str
    ) -> Fields:
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

        object_type, at = payload.get("object_type"), "object_type"
        if object_type is None:
            # Customer.io's description of changed preferences has it by this name.
            object_type, at = payload.get("object_type_type"), "object_type_type"
        if object_type is not None and type(object_type) is not str:
            object_type = text(object_type, at)
        metric = payload.get("metric")
        if metric is not None and type(metric) is not str:
            metric = text(metric, "metric")
        event_type = None
        if data.get("event_type") is None or (object_type is None and metric is None):
            event_type = payload.get("event_type")
            if event_type is not None:
                event_type = text(event_type, "event_type")
                if object_type is None and metric is None:
                    object_type, metric = catalogue.legacy_pair(event_type)
        own_id = name_of(payload.get("event_id"), "event_id") or name_of(data.get("event_id"), "data.event_id")

        fields: Fields = {
            "event": self.names.get((object_type, metric)) or catalogue.event_name(object_type, metric),
            "messageId": event_id,
            "timestamp": received_at_ms if occurred is None else occurred,
            "receivedAt": received_at_ms,
            "context.sourceId": source,
        }
        if object_type is not None:
            fields["properties.objectType"] = object_type
        if metric is not None:
            fields["properties.metric"] = metric
        if own_id is not None:
            fields["properties.eventId"] = own_id
        if event_type is not None:
            fields["properties.type"] = event_type
        self._carry(data, fields)
        if occurred is not None:
            fields["originalTimestamp"] = occurred
            if not self._corrected:
                fields["sentAt"] = occurred
        if self._corrected and request_timestamp_s is not None and 0 <= request_timestamp_s <= MAX_S:
            fields["sentAt"] = request_timestamp_s * 1000
        self._say_who(fields, data, identifiers, object_type)
        return fields

    def _carry(self, data: dict[str, Any], fields: Fields) -> None:
        """Adds the properties that have one source."""
        texts, wholes, steps = self._texts, self._wholes, self._steps
        for name, value in data.items():
            kind = type(value)
            if kind is str:
                if name in texts:
                    fields[texts[name]] = value
                    continue
            elif kind is int:
                if name in wholes and MIN_LONG <= value <= MAX_LONG:
                    fields[wholes[name]] = value
                    continue
            elif value is None:
                continue
            if name in steps:
                source, _, reader, target = steps[name]
                fields[target] = reader(value, source)
        if "properties.recipients" in fields and "properties.reason" not in fields:
            for device in fields["properties.recipients"][:1]:
                if "failure_message" in device:
                    fields["properties.reason"] = device["failure_message"]

    def _say_who(
        self, fields: Fields, data: dict[str, Any], identifiers: dict[str, Any], object_type: str | None
    ) -> None:
        """Adds userId or anonymousId, and the person's traits."""
        email = name_of(identifiers.get("email"), "data.identifiers.email")
        if self._corrected:
            recipient = name_of(data.get("recipient"), "data.recipient")
            if recipient is not None:
                target = recipient_target(recipient, object_type)
                if target != "context.traits.email":
                    fields[target] = recipient
                elif email is None:
                    email = recipient
        elif email is None:
            email = name_of(data.get("recipient"), "data.recipient")
        if email is None:
            email = name_of(data.get("email_address"), "data.email_address")
        cio_id = name_of(identifiers.get("cio_id"), "data.identifiers.cio_id")
        if email is not None:
            fields["context.traits.email"] = email
        if cio_id is not None:
            fields["context.traits.cioId"] = cio_id

        user_id = name_of(data.get("customer_id"), "data.customer_id")
        if user_id is None:
            user_id = name_of(identifiers.get("id"), "data.identifiers.id")
        if user_id is not None:
            fields["userId"] = user_id
        elif email or cio_id:
            fields["anonymousId"] = email or cio_id
        else:
            raise Rejection(
                ErrorCode.MISSING_IDENTITY,
                "nothing says whom the event is about: data.customer_id, data.identifiers (id, email, cio_id), "
                "data.recipient and data.email_address are absent, blank, or no identity",
                "data.identifiers",
            )


def recipient_target(recipient: str, object_type: str | None) -> str:
    """The field that a recipient goes to in profile `corrected`: it is an address, a number, or something else."""
    if is_email(recipient):
        return "context.traits.email"
    if is_phone(recipient, (object_type or "").lower()):
        return "context.traits.phone"
    return "properties.recipient"


def tree(fields: Fields) -> Event:
    """The fields and CONSTANTS, as nested dicts."""
    return nested({**CONSTANTS, **fields})


def plan(profile: str) -> dict[str, Step]:
    """The fields of `data` that become one property each, without a choice: by their names."""
    steps = {}
    for row in catalogue.fields():
        place, _, name = row.sources[0].rpartition(".")
        if row.holds_for(profile) and place == "data" and row.type in READERS and not row.condition:
            steps[name] = Step(row.sources[0], row.type, READERS[row.type], row.target)
    return steps


READERS: dict[str, Reader] = {
    "text": text,
    "whole": values.whole,
    "boolean": values.boolean,
    "headers": values.header_lists,
}
READERS["devices"] = values.records(
    {
        row.sources[0].removeprefix(_DEVICE): READERS[row.type]
        for row in catalogue.fields()
        if row.sources[0].startswith(_DEVICE)
    }
)
