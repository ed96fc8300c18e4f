"""Maps a Customer.io webhook to a RudderStack track event: pure, and the hot path.

The mapping is defined in schemas/mapping/fields.csv and events.csv, and docs/mapping.md describes it in full. Most
fields go one to one from `data` to `properties`, by a plan made once from the tables. The few that choose between
sources (the person, the time, the reason of a failure) are written out here.

An event is a row, the form that the encoder takes: a tree would be built only to be taken apart. `tree` returns the
tree for code that looks into an event before it is encoded.
"""

from typing import Any, Final, NamedTuple

from schemas.avro.encoder import (
    ANONYMOUS_ID,
    CONTEXT_SOURCE_ID,
    CONTEXT_TRAITS_CIO_ID,
    CONTEXT_TRAITS_EMAIL,
    CONTEXT_TRAITS_PHONE,
    EVENT,
    FIELDS,
    MESSAGE_ID,
    ORIGINAL_TIMESTAMP,
    PROPERTIES_EVENT_ID,
    PROPERTIES_METRIC,
    PROPERTIES_OBJECT_TYPE,
    PROPERTIES_REASON,
    PROPERTIES_RECIPIENT,
    PROPERTIES_RECIPIENTS,
    PROPERTIES_TYPE,
    RECEIVED_AT,
    SENT_AT,
    TIMESTAMP,
    USER_ID,
)
from schemas.customerio.event_identity import is_email, is_phone
from schemas.customerio.lossless_json import (
    MAX_LONG,
    MAX_S,
    MIN_LONG,
    Coercion,
    PrecisionLostError,
    boolean,
    header_lists,
    int64,
    nonblank_text,
    object_or_empty,
    occurred_ms,
    read,
    read_exactly,
    records,
    text,
)
from schemas.error_codes import ErrorCode, PayloadRejectedError
from schemas.mapping import tables
from schemas.nesting import unflatten

Row = list[Any]
"""An event's fields in the order of `FIELDS`; times in Unix milliseconds, None for an absent field."""

Event = dict[str, Any]
"""An event as nested dicts, including the fields that are the same in all events."""

_LENGTH: Final = len(FIELDS)

_DEVICE = "data.recipients[]."


class Step(NamedTuple):
    """How one field of `data` becomes one property of the event."""

    source: str
    """Path in the body."""
    type: str
    """The type in fields.csv."""
    coerce: Coercion
    target: int
    """Index in the row."""


class Mapper:
    """Maps bodies by one profile. Stateless."""

    def __init__(self, profile: str) -> None:
        """Use the profile `rudderstack` or `corrected`. Raises ValueError for any other."""
        if profile not in tables.PROFILES:
            raise ValueError(f"unknown profile {profile!r}: use one of {', '.join(tables.PROFILES)}")
        self.profile = profile
        self._corrected = profile == "corrected"
        self._steps = plan(profile)
        # Nearly all values have one of these two types and need no coercion: they skip it.
        self._texts = {name: step.target for name, step in self._steps.items() if step.type == "text"}
        self._wholes = {name: step.target for name, step in self._steps.items() if step.type == "whole"}
        self._names: dict[tuple[str | None, str | None], str] = {
            (row.object_type, row.metric): row.event for row in tables.events()
        }
        """(Object type, metric) in their usual spelling → what `tables.event_name` returns for them."""

    def row(self, body: bytes, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str) -> Row:
        """Map a body, whatever its bytes, to all fields of an event except `context.origin`.

        `received_at_ms` is in Unix milliseconds; `request_timestamp_s` is X-CIO-Timestamp in Unix seconds, None if
        unknown; `event_id` comes from `schemas.customerio.event_identity`; `source` is the name of the source. Raises
        PayloadRejectedError, and nothing else.
        """
        try:
            return self.row_of(read(body), received_at_ms, request_timestamp_s, event_id, source)
        except PrecisionLostError:
            return self.row_of(read_exactly(body), received_at_ms, request_timestamp_s, event_id, source)

    def row_of(
        self, payload: Any, received_at_ms: int, request_timestamp_s: int | None, event_id: str, source: str
    ) -> Row:
        """Map a body that was already parsed; see `row`.

        Raises PayloadRejectedError, and PrecisionLostError if the body must be read with `read_exactly`.
        """
        if type(payload) is not dict:
            raise PayloadRejectedError(ErrorCode.NOT_AN_OBJECT, "the body is JSON, but not an object")
        data = object_or_empty(payload.get("data"), "data")
        identifiers = object_or_empty(data.get("identifiers"), "data.identifiers")

        occurred = payload.get("timestamp")
        if type(occurred) is int and 0 <= occurred <= MAX_S:
            occurred *= 1000
        elif occurred is not None:
            occurred = occurred_ms(occurred, "timestamp")

        object_type, at = payload.get("object_type"), "object_type"
        if object_type is None:
            # Customer.io documents changed subscription preferences with this name.
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
                    object_type, metric = tables.legacy_pair(event_type)
        own_id = nonblank_text(payload.get("event_id"), "event_id") or nonblank_text(
            data.get("event_id"), "data.event_id"
        )

        row: Row = [None] * _LENGTH
        row[EVENT] = self._names.get((object_type, metric)) or tables.event_name(object_type, metric)
        row[MESSAGE_ID] = event_id
        row[TIMESTAMP] = received_at_ms if occurred is None else occurred
        row[RECEIVED_AT] = received_at_ms
        row[CONTEXT_SOURCE_ID] = source
        row[PROPERTIES_OBJECT_TYPE] = object_type
        row[PROPERTIES_METRIC] = metric
        row[PROPERTIES_EVENT_ID] = own_id
        row[PROPERTIES_TYPE] = event_type
        row[ORIGINAL_TIMESTAMP] = occurred
        if not self._corrected:
            row[SENT_AT] = occurred
        elif request_timestamp_s is not None and 0 <= request_timestamp_s <= MAX_S:
            row[SENT_AT] = request_timestamp_s * 1000
        self._add_properties(data, row)
        self._add_person(row, data, identifiers, object_type)
        return row

    def _add_properties(self, data: dict[str, Any], row: Row) -> None:
        """Add the properties that have one source."""
        texts, wholes, steps = self._texts, self._wholes, self._steps
        for name, value in data.items():
            kind = type(value)
            if kind is str:
                if name in texts:
                    row[texts[name]] = value
                    continue
            elif kind is int:
                if name in wholes and MIN_LONG <= value <= MAX_LONG:
                    row[wholes[name]] = value
                    continue
            elif value is None:
                continue
            if name in steps:
                step = steps[name]
                row[step.target] = step.coerce(value, step.source)
        if row[PROPERTIES_RECIPIENTS] and row[PROPERTIES_REASON] is None:
            row[PROPERTIES_REASON] = row[PROPERTIES_RECIPIENTS][0].get("failure_message")

    def _add_person(self, row: Row, data: dict[str, Any], identifiers: dict[str, Any], object_type: str | None) -> None:
        """Add userId or anonymousId, and the person's traits."""
        email = nonblank_text(identifiers.get("email"), "data.identifiers.email")
        if self._corrected:
            recipient = nonblank_text(data.get("recipient"), "data.recipient")
            if recipient is not None:
                target = recipient_target(recipient, object_type)
                if target != CONTEXT_TRAITS_EMAIL:
                    row[target] = recipient
                elif email is None:
                    email = recipient
        elif email is None:
            email = nonblank_text(data.get("recipient"), "data.recipient")
        if email is None:
            email = nonblank_text(data.get("email_address"), "data.email_address")
        cio_id = nonblank_text(identifiers.get("cio_id"), "data.identifiers.cio_id")
        row[CONTEXT_TRAITS_EMAIL] = email
        row[CONTEXT_TRAITS_CIO_ID] = cio_id

        user_id = nonblank_text(data.get("customer_id"), "data.customer_id")
        if user_id is None:
            user_id = nonblank_text(identifiers.get("id"), "data.identifiers.id")
        if user_id is not None:
            row[USER_ID] = user_id
        elif email or cio_id:
            row[ANONYMOUS_ID] = email or cio_id
        else:
            raise PayloadRejectedError(
                ErrorCode.MISSING_IDENTITY,
                "the event names no person: data.customer_id, data.identifiers (id, email, cio_id), "
                "data.recipient and data.email_address are absent, blank, or not an identity",
                "data.identifiers",
            )


def recipient_target(recipient: str, object_type: str | None) -> int:
    """Return the index of a recipient's field in profile `corrected`: email address, phone number or recipient."""
    if is_email(recipient):
        return CONTEXT_TRAITS_EMAIL
    if is_phone(recipient, (object_type or "").lower()):
        return CONTEXT_TRAITS_PHONE
    return PROPERTIES_RECIPIENT


def tree(row: Row) -> Event:
    """Return the event as nested dicts, in the form that Avro readers return: absent fields are null."""
    return unflatten({**tables.constants(), **dict(zip(FIELDS, row, strict=True))})


def plan(profile: str) -> dict[str, Step]:
    """Return the steps for fields of `data` that become one property each, by the names of the fields."""
    steps = {}
    for row in tables.fields():
        place, _, name = row.sources[0].rpartition(".")
        if row.holds_for(profile) and place == "data" and row.type in COERCIONS and not row.condition:
            steps[name] = Step(row.sources[0], row.type, COERCIONS[row.type], FIELDS.index(row.target))
    return steps


COERCIONS: dict[str, Coercion] = {
    "text": text,
    "whole": int64,
    "boolean": boolean,
    "headers": header_lists,
}
COERCIONS["devices"] = records(
    {
        row.sources[0].removeprefix(_DEVICE): COERCIONS[row.type]
        for row in tables.fields()
        if row.sources[0].startswith(_DEVICE)
    }
)
