"""docs/mapping.md: the mapping, generated from its tables and from what the pipeline makes of examples."""

import json
from functools import cache
from typing import Any

from processor.pipeline.pipeline import build_pipeline, record_of
from processor.pipeline.records import DeadLetter, identify
from schemas.error_codes import PayloadRejectedError
from schemas.mapping import tables
from schemas.track_event import EventReader, track_json

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
    ("Empty text instead of an integer", '"action_id": ""'),
    ("true or false instead of an integer", '"action_id": true'),
    ("An integer instead of text", '"journey_id": 42'),
    ("An integer of any size instead of text", '"journey_id": 123456789012345678901'),
    ("A number with a fraction or exponent instead of text", '"journey_id": 42.0'),
    ("A list or object instead of text", '"journey_id": ["a"]'),
    ("true or false as text", '"machine": "true"'),
    ("A number instead of true or false", '"machine": 1'),
    ("null, anywhere", '"subject": null'),
    ("Empty text that is not an identity", '"subject": ""'),
    ("NUL, emoji, any other character", '"subject": "\\u0000 ⚓"'),
    ("A lone surrogate", '"subject": "\\ud800"'),
    ("A lone surrogate in an unknown field", '"unknown": "\\ud800"'),
    ("One device without its list", '"recipients": {"device_id": "a"}'),
    ("null in the list of devices", '"recipients": [null]'),
    ("A wrong type in a device", '"recipients": [{"device_id": []}]'),
    ("One header value without its list", '"headers": {"X-Mailer": "a"}'),
    ("A name twice: the last one counts", '"action_id": 1, "action_id": 2'),
    ("An unknown field with any value", '"unknown": [{"a": 1.5}]'),
    ("A wrong type in a field that is not needed", '"identifiers": {"email": "a@example.com"}, "recipient": []'),
    ("A wrong type for a part of the payload", '"identifiers": "x"'),
]

BODIES: list[tuple[str, bytes]] = [
    ("nothing, or white space", b" "),
    ("not JSON", b"{'a': 1}"),
    ("NaN, Infinity", b'{"a": NaN}'),
    ("bytes that are not UTF-8", b'{"a": "\xff"}'),
    ("arrays and objects nested more than 1024 deep", b"[" * 1025 + b"]" * 1025),
    ("a text, a number, true, null, a list", b"[]"),
    ("a byte order mark, then a payload: the mark is skipped", b'\xef\xbb\xbf{"data": {"customer_id": "1"}}'),
    ("`{}`, or `data` absent or null", b"{}"),
]

TIMES: list[tuple[str, str]] = [
    ("seconds", "1613063089"),
    ("seconds with a fraction; digits beyond the millisecond are dropped", "1613063089.5"),
    ("digits as text", '"1613063089"'),
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

What a Customer.io webhook becomes. This page is generated from `schemas/mapping/events.csv`,
`schemas/mapping/fields.csv` and the pipeline itself, which computed every outcome below.

To see what becomes of a payload of yours, what is left out and why, or where the problem is:

```sh
sternpost transform --explain payload.json
sternpost transform --profile corrected < payloads.jsonl
```

## An example
"""

PROFILES = """\
## Two profiles

`rudderstack` (the default) emits what RudderStack's own source emits, without its faults
([below](#differences-from-rudderstack)). `corrected` differs where that is misleading:

| | `rudderstack` | `corrected` |
| --- | --- | --- |
| a `recipient` that is an email address | `context.traits.email` | the same |
| a `recipient` that is a phone number | `context.traits.email` | `context.traits.phone` |
| any other `recipient`: a #channel, a URL, an id | `context.traits.email` | `properties.recipient` |
| `sentAt` | when the event occurred | when the request was sent (`X-CIO-Timestamp`); absent if that is unknown |

An *email address* has one `@` with something on either side and no white space, and is not a URL. A *phone number* is
digits with the usual punctuation; without a leading `+`, only on `sms` and `whatsapp`, because elsewhere bare digits
are someone's id. A phone number or other recipient does not identify anybody: if there is nothing else, the body is a
dead letter, `missing_identity`.
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

Before reporting webhooks had `object_type` and `metric`, they had an `event_type` at the top level, and old webhooks
still send it. If `object_type` and `metric` are absent, an `event_type` that is exactly an object type above, `_` and a
metric above stands for the two; any other is an `Unknown Event`. In both cases `properties.type` carries it.
[Customer.io's documentation of that time](http://learn.customer.io/developer-documentation/webhooks.html) lists the
values of `event_type`; whole bodies are in the tests of [a public
receiver](https://github.com/hull-ships/hull-customerio) (`test/integration/fixtures/webhook-payloads`).
"""

EVENTS = """\
## Events

`object_type` matches in upper and lower case, `metric` exactly; the event carries both unchanged
(`properties.objectType`, `properties.metric`). Any other pair is an `Unknown Event`, never a failure. No mark:
RudderStack documents the name. ○: RudderStack's source uses it but does not document it. ●: RudderStack emits Unknown
Event; our name follows its pattern.

| `object_type` | `metric` | event | |
| --- | --- | --- | --- |"""

FIELDS = """\
## Fields

If a field has several sources, the first one that is neither absent nor null (for an *identity*: nor blank) counts, and
the others are not looked at. The marks are as above; here ● is a field that RudderStack drops or does not have. Fields
that are not in this table are not in the event; they stay in the raw record.

| field of the event | from | type | profile | | |
| --- | --- | --- | --- | --- | --- |"""

TYPES = """\
| type | takes |
| --- | --- |
| text | text unchanged, even if empty; an integer as its digits |
| identity | the same; blank text (empty or only white space) counts as absent |
| whole | an integer of 64 bits; a number with no fraction (`42.0`); text that is an integer in plain form (`"42"`) |
| boolean | `true`, `false`, and the same words as text |
| headers | `{name: [text, …]}`; a single text needs no list; a name with null is left out |
| devices | a list of objects; a single object needs no list |

Any other value cannot be carried exactly. The body becomes a dead letter, `invalid_field`, that names the field.
"""

WHO = """\
## Who it is about

1. `userId`: `data.customer_id`, else `data.identifiers.id`.
2. If there is neither, `anonymousId`: the email (`context.traits.email`), else `data.identifiers.cio_id`.
3. If there is none of them, the body is a dead letter, `missing_identity`.

`messageId` is the event id: the body's `event_id`, else `data.event_id`, else the SHA-256 of the body's bytes. The raw
record's key is the first of `identifiers.cio_id`, `identifiers.id`, `customer_id` and the email that is present (a
`recipient` counts only if it is an email address), so that a person's events stay in order.
"""

WHEN = """\
## When

`timestamp` and `originalTimestamp` say when the event occurred, `receivedAt` when the webhook arrived. If the time of
the event is unknown, `originalTimestamp` is absent (as is `sentAt` in `rudderstack`), and `timestamp` is the time of
receipt.

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
Valid JSON that fast parsers round or refuse (fractions, integers beyond 64 bits, lone surrogates, a byte order mark) is
parsed again exactly. If several fields are wrong, the dead letter names the first one in this order: `data` and
`identifiers` themselves, the time, other fields beside `data`, the fields of `data` as they came, and last the
identity. `sternpost transform --explain` names them all.

## Differences from RudderStack

| RudderStack | here | why |
| --- | --- | --- |
| fails on a `timestamp` that is ISO-8601, microseconds, an object or a list, on an `object_type` that is not text, \
on a `null` body | an event or a dead letter, see above | a failed request stalls Customer.io's feed for an hour |
| `timestamp` becomes the time of receipt | `timestamp` is when the event occurred | that is its purpose |
| an empty `customer_id` hides the other identities | blank counts as absent | \
Customer.io blanks the id of deleted people |
| refuses people known only by `cio_id` | `anonymousId` is the `cio_id` | they are people too |
| never finds a push's failure, which is in a list | \
`reason` is the first device's failure if the message has none; \
`recipients` has each device's | that is where Customer.io puts it |
| `messageId` is random | `messageId` is the event id | it identifies a repetition |
| `object_type: "constructor"` gives an odd event | an Unknown Event | it is one |
| a body that is a number or a text gives an event with it in every field | `not_an_object` | nothing in it is known |
| rounds integers beyond 2^53 | exact to 64 bits | ids must not change |
| drops fields that Customer.io sends | they are properties, marked ● above | no loss |
| `journey_id`, `transactional_message_id`, ids of people keep their JSON type | they are text | \
a column has one type, and text holds every value that came |

In `recipients`, the fields of a device keep Customer.io's names (`device_id`), as in RudderStack. `integrations` and
`headers` are maps in the Avro schema, because their names are data and need not be valid Avro names.

## Changing the mapping

A new metric is a row in `schemas/mapping/events.csv`. A new field is a row in `schemas/mapping/fields.csv`, the same
field with null as its default in a new version of the schema beside the old ones (`schemas/avro/track_event.v2.avsc`),
and its description in `tests/support/webhook_model.py`; tests say what is missing. Then `make docs`.
"""


def render() -> str:
    """Return the page."""
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
        f"```json\n{_pretty(EXAMPLE)}\n```\n\nbecomes, with the profile `rudderstack`,\n\n"
        f"```json\n{_pretty(event)}\n```\n\nand with `corrected` the same except for\n\n"
        f"```json\n{_pretty(differing)}\n```\n"
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
