"""docs/mapping.md: the mapping, from its tables and from the mapping itself."""

import json
from functools import cache
from typing import Any

from processor.pipeline.dedup_key import identify
from processor.pipeline.pipeline import build_pipeline, record_of
from processor.pipeline.records import DeadLetter
from schemas.avro.decoder import EventReader
from schemas.error_codes import PayloadRejectedError
from schemas.mapping import tables
from schemas.track_event import track_json

RECEIVED_MS = 1_613_063_090_500
SENT_S = 1_613_063_090

EXAMPLE = {
    "event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ",
    "object_type": "sms",
    "metric": "clicked",
    "timestamp": 1613063089,
    "data": {
        "customer_id": "0200000001",
        "identifiers": {"id": "0200000001", "email": None, "cio_id": "d9c106000001"},
        "recipient": "+15551234567",
        "action_id": 42,
        "delivery_id": "RPILAgUBcRhIBqSfeiIwdIYJKxTY",
        "href": "https://example.com/welcome",
        "link_id": 1,
    },
}

ORIGINS = {"documented": "", "observed": "○", "ours": "●"}

ODD: list[tuple[str, str]] = [
    ("An integer as text", '"action_id": "42"'),
    ("A whole number with a fraction of zero", '"action_id": 42.0'),
    ("A 64-bit integer", '"action_id": 9007199254740993'),
    ("An integer beyond 64 bits", '"action_id": 9223372036854775808'),
    ("A fraction", '"action_id": 42.5'),
    ("Text with a sign, a leading zero, white space or other digits", '"action_id": "+42"'),
    ("Empty text where an integer is due", '"action_id": ""'),
    ("true or false where an integer is due", '"action_id": true'),
    ("An integer where text is due", '"journey_id": 42'),
    ("An integer of any size where text is due", '"journey_id": 123456789012345678901'),
    ("A number with a fraction or exponent where text is due", '"journey_id": 42.0'),
    ("A list or object where text is due", '"journey_id": ["a"]'),
    ("true or false as text", '"machine": "true"'),
    ("A number where true or false is due", '"machine": 1'),
    ("null, anywhere", '"subject": null'),
    ("Empty text that is no identity", '"subject": ""'),
    ("NUL, emoji, any other character", '"subject": "\\u0000 ⚓"'),
    ("A lone surrogate", '"subject": "\\ud800"'),
    ("A lone surrogate in an unknown field", '"unknown": "\\ud800"'),
    ("One device without its list", '"recipients": {"device_id": "a"}'),
    ("null in the list of devices", '"recipients": [null]'),
    ("A wrong type in a device", '"recipients": [{"device_id": []}]'),
    ("One header value without its list", '"headers": {"X-Mailer": "a"}'),
    ("A name twice: the last holds", '"action_id": 1, "action_id": 2'),
    ("An unknown field, whatever it holds", '"unknown": [{"a": 1.5}]'),
    ("A wrong type in a field that is not needed", '"identifiers": {"email": "a@example.com"}, "recipient": []'),
    ("A wrong type for a part of the payload", '"identifiers": "x"'),
]

BODIES: list[tuple[str, bytes]] = [
    ("nothing, or white space", b" "),
    ("no JSON", b"{'a': 1}"),
    ("NaN, Infinity", b'{"a": NaN}'),
    ("bytes that are no UTF-8", b'{"a": "\xff"}'),
    ("arrays and objects more than 1024 deep", b"[" * 1025 + b"]" * 1025),
    ("a text, a number, true, null, a list", b"[]"),
    ("a byte order mark, then a payload: it is passed over", b'\xef\xbb\xbf{"data": {"customer_id": "1"}}'),
    ("`{}`, or `data` absent or null", b"{}"),
]

TIMES: list[tuple[str, str]] = [
    ("seconds", "1613063089"),
    ("seconds with a fraction; finer than a millisecond is cut off", "1613063089.5"),
    ("digits", '"1613063089"'),
    ("ISO-8601 with a zone", '"2021-02-11T18:04:49.5+01:00"'),
    ("ISO-8601 without a zone is UTC", '"2021-02-11T17:04:49"'),
    ("a date alone is its first moment", '"2021-02-11"'),
    ("absent, null", "null"),
    ("any other text, such as a fraction, a week date, 24:00 or a leap second", '"abc"'),
    ("milliseconds, microseconds", "1613063089000"),
    ("before 1970", "-1"),
    ("true, false, a list, an object", "[]"),
]

HEAD = """\
# Mapping

What a Customer.io webhook becomes. Generated from `schemas/mapping/events.csv`, `schemas/mapping/fields.csv` and the
mapping itself; every outcome below was computed.

To see it for a payload of yours, with what was left out and why, or where the problem is:

```sh
sternpost transform --explain payload.json
sternpost transform --profile corrected < payloads.jsonl
```

## An example
"""

PROFILES = """\
## Two profiles

`rudderstack` (the default) emits what RudderStack's own source emits, without its faults
([below](#differences-from-rudderstack)). `corrected` differs where that result misleads:

| | `rudderstack` | `corrected` |
| --- | --- | --- |
| a `recipient` that is an email address | `context.traits.email` | the same |
| a `recipient` that is a phone number | `context.traits.email` | `context.traits.phone` |
| any other `recipient`: a #channel, a URL, an id | `context.traits.email` | `properties.recipient` |
| `sentAt` | when the event occurred | when the request was sent (`X-CIO-Timestamp`); absent where that is unknown |

An *email address* has one `@` with something on either side, no white space, and is no URL. A *phone number* is digits
with the usual punctuation; without a leading `+` it is one only on `sms` and `whatsapp`, since elsewhere bare digits
are someone's id. A phone number or other recipient names nobody: with nothing else, the body is `missing_identity`.
"""

LEGACY = {
    "event_id": "01C9S7G83J0000000000000001",
    "event_type": "email_delivered",
    "timestamp": 1522338867,
    "data": {
        "campaign_id": "12",
        "campaign_name": "Welcome",
        "customer_id": "42",
        "email_address": "Ann <ann@example.com>",
        "email_id": "RPILAgABYnJ3000000000000000",
        "subject": "Welcome aboard",
        "template_id": "35",
    },
}

LEGACY_HEAD = """\
## The legacy format

Reporting webhooks had an `event_type` at the top before they had `object_type` and `metric`, and old ones still post
it. If both are absent, an `event_type` that is an object type above, `_` and a metric above, exactly so, stands for the
two; any other is an `Unknown Event`. Either way it is carried as `properties.type`. The values of `event_type` are
listed in [Customer.io's documentation of that time](http://learn.customer.io/developer-documentation/webhooks.html);
whole bodies are in the tests of [a public receiver](https://github.com/hull-ships/hull-customerio)
(`test/integration/fixtures/webhook-payloads`).
"""

EVENTS = """\
## Events

`object_type` matches in any case, `metric` exactly; both are in the event as they came (`properties.objectType`,
`properties.metric`). Any other pair is an `Unknown Event`, never a failure. Without a mark: RudderStack documents the
name. ○ RudderStack's source gives it, undocumented. ● RudderStack says Unknown Event; the name follows its pattern.

| `object_type` | `metric` | event | |
| --- | --- | --- | --- |"""

FIELDS = """\
## Fields

Of several sources, the first wins that is neither absent nor null (for an *identity*: nor blank); the others are not
looked at. Marks as above, ● here being a field that RudderStack drops or does not have. What is not in this table is
not in the event; it stays in the raw record.

| field of the event | from | type | profile | | |
| --- | --- | --- | --- | --- | --- |"""

TYPES = """\
| type | takes |
| --- | --- |
| text | text as it is, empty text too; an integer as its digits |
| identity | text likewise; blank, that is empty or only white space, counts as absent |
| whole | an integer of 64 bits; a number with no fraction (`42.0`); text that is an integer in plain form (`"42"`) |
| boolean | `true`, `false`, and the same as text |
| headers | `{name: [text, …]}`; one text may stand without its list; a name with null is left out |
| devices | a list of objects; one object may stand without its list |

Anything else cannot be carried exactly, and is a dead letter `invalid_field` that names the field.
"""

WHO = """\
## Who it is about

1. `userId`: `data.customer_id`, else `data.identifiers.id`.
2. With neither, `anonymousId`: the email (`context.traits.email`), else `data.identifiers.cio_id`.
3. With none of them the body is a dead letter, `missing_identity`.

`messageId` is the event id: the body's `event_id`, else `data.event_id`, else the SHA-256 of the body's bytes. The raw
record's key is the first there is of `identifiers.cio_id`, `identifiers.id`, `customer_id` and the email (of a
`recipient` only what is an email address), so that the events of a person stay in order.
"""

WHEN = """\
## When

`timestamp` and `originalTimestamp` say when the event occurred, `receivedAt` when the webhook came. Where the time
cannot be known, `originalTimestamp` is absent (and `sentAt` by `rudderstack`), and `timestamp` is when it was received.

| `timestamp` of the body | | becomes |
| --- | --- | --- |"""

ODD_HEAD = """\
## Odd input

| in `data` | | becomes |
| --- | --- | --- |"""

BODY_HEAD = """\
| body | becomes |
| --- | --- |"""

WHY = """\
JSON that is valid but that fast parsers round or refuse (fractions, integers beyond 64 bits, lone surrogates, a byte
order mark) is read again exactly. Where several fields are wrong, the dead letter names the first that was met: `data`
and `identifiers` themselves, the time, what else is beside `data`, the fields of `data` in the order they came, and
last who it is about.
`sternpost transform --explain` names them all.

## Differences from RudderStack

| RudderStack | here | why |
| --- | --- | --- |
| fails on a `timestamp` that is ISO-8601, microseconds, an object or a list, on an `object_type` that is no text, \
on a `null` body | an event or a dead letter, see above | a failed request stalls Customer.io's feed for an hour |
| `timestamp` becomes when the event was received | `timestamp` is when it occurred | that is what it is for |
| an empty `customer_id` hides the other identities | blank counts as absent | \
Customer.io blanks the id of deleted people |
| refuses people known only by `cio_id` | `anonymousId` is the `cio_id` | they are people all the same |
| never finds a push's failure, which is in a list | \
`reason` is the first device's failure, where the message has none; \
`recipients` has each device's | that is where Customer.io puts it |
| `messageId` is random | `messageId` is the event id | a repetition can be told by it |
| `object_type: "constructor"` gives an odd event | an Unknown Event | it is one |
| a body that is a number or a text gives an event with it in every field | `not_an_object` | nothing in it is known |
| rounds integers beyond 2^53 | exact to 64 bits | ids must not change |
| drops fields that Customer.io sends | they are properties, marked ● above | no loss |
| `journey_id`, `transactional_message_id`, ids of people keep their JSON type | they are text | \
a column has one type, and text holds every value that came |

In `recipients`, the names of the fields of a device stay as Customer.io has them (`device_id`), as RudderStack leaves
them. `integrations` is a map in the Avro schema, and so are `headers`: their names are data, and need be no Avro names.

## Changing the mapping

A new metric is a row in `schemas/mapping/events.csv`. A new field is a row in `schemas/mapping/fields.csv`, the same
field with null as its default in a new version of the schema beside the old ones (`schemas/avro/track_event.v2.avsc`),
and its description in `tests/support/webhook_model.py`; tests say what is missing. Then `make docs`.
"""


def render() -> str:
    """The page."""
    return (
        "\n".join(
            [
                HEAD,
                _example(),
                PROFILES,
                EVENTS,
                *_events(),
                "",
                LEGACY_HEAD,
                _legacy(),
                FIELDS,
                *_fields(),
                "",
                TYPES,
                WHO,
                WHEN,
                *(f"| `{written}` | {said} | {_time(written)} |" for said, written in TIMES),
                "",
                ODD_HEAD,
                *(f"| `{_escaped(written)}` | {said} | {_data(written)} |" for said, written in ODD),
                "",
                BODY_HEAD,
                *(f"| {said} | {_whole(body)} |" for said, body in BODIES),
                "",
                WHY,
            ]
        ).rstrip("\n")
        + "\n"
    )


def _example() -> str:
    body = json.dumps(EXAMPLE).encode()
    event, corrected = _event(body, "rudderstack"), _event(body, "corrected")
    differing = {"sentAt": corrected["sentAt"], "context": {"traits": corrected["context"]["traits"]}}
    return (
        f"```json\n{_pretty(EXAMPLE)}\n```\n\nbecomes, by the profile `rudderstack`,\n\n"
        f"```json\n{_pretty(event)}\n```\n\nand by `corrected` the same but for\n\n```json\n{_pretty(differing)}\n```\n"
    )


def _legacy() -> str:
    event = _event(json.dumps(LEGACY).encode(), "rudderstack")
    shown = {name: event[name] for name in ("event", "userId", "timestamp", "properties")}
    shown["context"] = {"traits": event["context"]["traits"]}
    return f"```json\n{_pretty(LEGACY)}\n```\n\nbecomes, among other things,\n\n```json\n{_pretty(shown)}\n```\n"


def _events() -> list[str]:
    lines = []
    before = None
    for row in tables.events():
        shown = "" if row.object_type == before else f"`{row.object_type}`"
        if row.object_type == tables.EVERY_OBJECT_TYPE:
            shown = "any, or none"
        before = row.object_type
        lines.append(f"| {shown} | `{row.metric}` | {row.event} | {ORIGINS[row.origin]} |")
    return lines


def _fields() -> list[str]:
    return [
        f"| `{row.target}` | {_sources(row)} | {row.type} | {row.profile} | {ORIGINS[row.origin]} | {row.meaning} |"
        for row in tables.fields()
    ]


def _sources(row: tables.FieldRow) -> str:
    in_words = {"when received", "SHA-256 of the body", "name of the source"}
    in_words |= {f"{part} of the raw record" for part in ("topic", "partition", "offset")}
    written = [source if source in in_words else f"`{source}`" for source in row.sources]
    sources = " and ".join(written) if row.type == "event" else "<br>else ".join(written)
    return f"{sources}<br>({row.condition})" if row.condition else sources


def _time(written: str) -> str:
    event = _mapped(b'{"data":{"customer_id":"1"},"timestamp":' + written.encode() + b"}")
    if isinstance(event, dict):
        return event.get("originalTimestamp") or "no `originalTimestamp`; `timestamp` is when received"
    return f"dead letter `{event.code}`"


def _data(written: str) -> str:
    event = _mapped(b'{"data":{"customer_id":"1",' + written.encode() + b"}}")
    if isinstance(event, PayloadRejectedError):
        return f"dead letter `{event.code}` at `{event.field}`"
    made = {**event.get("properties", {}), **event["context"].get("traits", {})}
    return (
        f"`{_escaped(json.dumps(made, ensure_ascii=False)[1:-1])}`"
        if made
        else "nothing; the event is the same without it"
    )


def _whole(body: bytes) -> str:
    event = _mapped(body)
    return f"dead letter `{event.code}`" if isinstance(event, PayloadRejectedError) else "an event"


def _mapped(body: bytes) -> dict[str, Any] | PayloadRejectedError:
    try:
        return _event(body, "rudderstack")
    except PayloadRejectedError as rejection:
        return rejection


def _event(body: bytes, profile: str) -> dict[str, Any]:
    record = record_of(body, received_at_ms=RECEIVED_MS, request_timestamp_s=SENT_S)
    outcome = _pipeline(profile).outcome(record, identify(record))
    if isinstance(outcome, DeadLetter):
        raise PayloadRejectedError(outcome.code, outcome.message, outcome.field, outcome.stage)
    return track_json(EventReader.of_newest()(outcome.value))


_pipeline = cache(build_pipeline)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _escaped(code: str) -> str:
    return code.replace("|", "\\|")
