"""Odd values: what is carried exactly, what is a dead letter, and what harms nothing."""

import hashlib
import json
from typing import Any

import pytest

from schemas.mapping import tables
from tests.support.mapped import PROFILES, Json, event, outcome, refused, webhook
from tests.support.nested_paths import at, put

BY_TYPE: dict[str, list[tables.FieldRow]] = {}
for _row in tables.fields():
    if _row.holds_for("rudderstack") and _row.sources[0].startswith("data.") and not _row.condition:
        BY_TYPE.setdefault(_row.type, []).append(_row)

NO_TEXT: list[Any] = [True, False, 1.5, 42.0, -0.0, [], {}, ["a"], {"a": 1}]
NO_WHOLE: list[Any] = [
    *(True, False, 1.5, [], {}, [1], "", " ", "1.0", "1e3", "abc"),
    *("042", "+42", " 42", "42 ", "-0", "4_2", "0x2a", "٤٢", "４２", "42\n", "9223372036854775808"),
]
NO_BOOLEAN: list[Any] = [0, 1, 1.0, "", "True", "yes", [], {}]
NO_HEADERS: list[Any] = [True, 1, 1.5, "X: y", [], [{}]]
NO_DEVICES: list[Any] = [True, 1, 1.5, "token", ""]


def _cases(kind: str, values: list[Any]) -> list[Any]:
    paths = [row.sources[0].replace("[]", "[0]") for row in BY_TYPE[kind]]
    return [pytest.param(path, value, id=f"{path}={value!r}") for path in paths for value in values]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("source", "value"),
    [
        *_cases("text", NO_TEXT),
        *_cases("whole", NO_WHOLE),
        *_cases("boolean", NO_BOOLEAN),
        *_cases("headers", NO_HEADERS),
        *_cases("devices", NO_DEVICES),
    ],
)
def test_a_value_that_its_field_cannot_carry_is_a_dead_letter_naming_it(
    source: str, value: object, profile: str
) -> None:
    assert refused(put(webhook(), source, value), profile) == ("invalid_field", source)


@pytest.mark.parametrize("value", NO_TEXT)
@pytest.mark.parametrize(
    "source", ["data.customer_id", "data.identifiers.email", "data.identifiers.cio_id", "event_id", "metric"]
)
def test_an_identity_that_is_no_text_is_a_dead_letter_naming_it(source: str, value: object) -> None:
    assert refused(put(webhook(), source, value)) == ("invalid_field", source)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("data.customer_id", "userId"),
        ("data.identifiers.cio_id", "context.traits.cioId"),
        ("data.recipient", "context.traits.email"),
        ("event_id", "messageId"),
        ("event_id", "properties.eventId"),
        ("metric", "properties.metric"),
        *((row.sources[0], row.target) for row in BY_TYPE["text"] if "[" not in row.target),
    ],
)
@pytest.mark.parametrize("number", [0, 42, -7, 2**64 - 1, 10**100])
def test_an_integer_in_a_text_field_is_its_digits(source: str, target: str, number: int) -> None:
    assert at(event(put(webhook(), source, number)), target) == str(number)


@pytest.mark.parametrize("row", BY_TYPE["whole"], ids=lambda row: row.sources[0])
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        ('"42"', 42),
        ("42.0", 42),
        ("4.2e1", 42),
        ("420e-1", 42),
        ('"-42"', -42),
        ("-0", 0),
        ("-0.0", 0),
        ('"0"', 0),
        ('"9223372036854775807"', 2**63 - 1),
        ('"-9223372036854775808"', -(2**63)),
        ("9007199254740993.0", 2**53 + 1),
        ("9223372036854775807.0", 2**63 - 1),
    ],
)
def test_a_whole_number_is_carried_exactly_however_it_is_written(row: tables.FieldRow, text: str, number: int) -> None:
    body = json.dumps(put(webhook(), row.sources[0], "$")).replace('"$"', text).encode()
    assert at(event(body), row.target) == number


@pytest.mark.parametrize(
    "text",
    [
        *("42.5", "42.00000000000000000000000001", "9007199254740993.5", "1e-400"),
        *("1e19", "1e400", "-1e400", "1e99999999999999999999", "1" * 5000),
    ],
)
def test_a_number_that_is_not_whole_or_too_large_is_a_dead_letter(text: str) -> None:
    body = json.dumps(webhook(action_id="$")).replace('"$"', text).encode()
    assert refused(body) == ("invalid_field", "data.action_id")


@pytest.mark.parametrize(("value", "carried"), [(True, True), (False, False), ("true", True), ("false", False)])
def test_booleans(value: object, carried: bool) -> None:
    assert event(webhook(machine=value))["properties"]["machine"] is carried


@pytest.mark.parametrize(
    ("headers", "carried"),
    [
        ({}, {}),
        ({"X": ["a", ""]}, {"X": ["a", ""]}),
        ({"X": "a"}, {"X": ["a"]}),
        ({"X": None, "Y": [1]}, {"Y": ["1"]}),
        ({"": ["é ⚓ \x00"]}, {"": ["é ⚓ \x00"]}),
    ],
)
def test_headers_are_lists_of_text(headers: Json, carried: Json) -> None:
    assert event(webhook(headers=headers))["properties"]["headers"] == carried


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"X": [None]}, "data.headers.X[0]"),
        ({"X-Y_z": ["a", {}]}, "data.headers.X-Y_z[1]"),
        ({"X": True}, "data.headers.X[0]"),
        ({"a name\n": [[]]}, "data.headers.*[0]"),
        ({"\ud800": ["a"]}, "data.headers"),
        ({"X": ["\ud800"]}, "data.headers.X[0]"),
    ],
)
def test_a_header_that_is_no_text_is_named(headers: Json, path: str) -> None:
    assert refused(webhook(headers=headers)) == ("invalid_field", path)


@pytest.mark.parametrize(
    ("recipients", "path"),
    [
        ([None], "data.recipients[0]"),
        ([{}, "token"], "data.recipients[1]"),
        ([{"device_id": []}], "data.recipients[0].device_id"),
        ([{"device_id": "a"}, {"device_platform": True}], "data.recipients[1].device_platform"),
        ([{"failure_message": {}}], "data.recipients[0].failure_message"),
        ({"failure_message": {}}, "data.recipients.failure_message"),
        ([{"device_id": "\ud800"}], "data.recipients[0].device_id"),
        ([{"device_id": 1.5}], "data.recipients[0].device_id"),
    ],
)
def test_a_device_that_cannot_be_carried_is_named(recipients: object, path: str) -> None:
    assert refused(webhook("push", recipients=recipients)) == ("invalid_field", path)


def test_devices_keep_their_order_and_only_known_fields() -> None:
    made = event(webhook("push", recipients=[{"device_id": 7, "new": []}, {}, {"device_platform": "ios"}]))
    assert made["properties"]["recipients"] == [{"device_id": "7"}, {}, {"device_platform": "ios"}]


def test_one_device_may_stand_without_a_list() -> None:
    made = event(webhook("push", "bounced", recipients={"device_id": "a", "failure_message": "why"}))
    assert made["properties"]["recipients"] == [{"device_id": "a", "failure_message": "why"}]
    assert made["properties"]["reason"] == "why"


@pytest.mark.parametrize("value", [[], "text", 5, True, 1.5])
@pytest.mark.parametrize("source", ["data", "data.identifiers"])
def test_a_part_that_is_no_object_is_a_dead_letter(source: str, value: object) -> None:
    assert refused(put(webhook(), source, value)) == ("invalid_field", source)


def test_null_is_absent_everywhere() -> None:
    sources = {source for row in tables.fields() for source in row.sources if source.startswith("data.")}
    nulls = {source.removeprefix("data."): None for source in sources if "[" not in source and source.count(".") == 1}
    payload = webhook(**{**nulls, "customer_id": "42", "identifiers": None})
    payload["event_id"] = "e"
    bare = webhook() | {"event_id": "e"}
    assert event(payload) == event(bare)


def test_an_empty_text_is_carried_where_it_names_nobody() -> None:
    made = event(webhook(subject="", content=" ", failure_message="", recipients=[{"failure_message": "x"}]))
    assert made["properties"]["emailSubject"] == ""
    assert made["properties"]["content"] == " "
    assert made["properties"]["reason"] == ""


def test_a_source_that_is_not_needed_is_not_judged() -> None:
    payload = webhook(identifiers={"id": [], "email": "test@example.com"}, recipient=[], email_address={})
    assert event(payload)["context"]["traits"] == {"email": "test@example.com"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "é",
        "日本語",
        "😀👩‍👩‍👧",
        "\x00",
        "a\x00b",
        "\u2028\u2029",
        "\ufeff",
        "\U0010ffff",
        '"\\/\b\f\n\r\t',
        "\u202e",
        "x" * 2**20,
    ],
)
def test_any_text_is_carried_as_it_is(text: str) -> None:
    assert event(webhook(subject=text))["properties"]["emailSubject"] == text
    raw = json.dumps(webhook(subject=text), ensure_ascii=False).encode()
    assert event(raw)["properties"]["emailSubject"] == text


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"a\ud800b", r"\udc00\ud800", r"\ud83d\ud83d\ude00"])
def test_a_lone_surrogate_is_a_dead_letter_where_it_is_wanted_and_nothing_elsewhere(escape: str) -> None:
    def body(**data: object) -> bytes:
        return json.dumps(webhook(**data)).replace("$", escape).encode()

    assert refused(body(subject="$")) == ("invalid_field", "data.subject")
    assert refused(body(identifiers={"cio_id": "$"})) == ("invalid_field", "data.identifiers.cio_id")
    assert event(body(unknown=["$"])) == event(webhook())
    payload = json.dumps(webhook() | {"timestamp": "$"}).replace("$", escape).encode()
    assert "originalTimestamp" not in event(payload)


def test_a_pair_of_surrogate_escapes_is_one_character() -> None:
    body = json.dumps(webhook(subject="$")).replace("$", r"\ud83d\ude00").encode()
    assert event(body)["properties"]["emailSubject"] == "😀"


def _nested(depth: int) -> bytes:
    """An event with an unknown field in `data`, so many lists deep in all."""
    inner = depth - 2
    return json.dumps(webhook(unknown="$")).replace('"$"', "[" * inner + "]" * inner).encode()


@pytest.mark.parametrize("depth", [10, 1000, 1024])
def test_nesting_is_read_to_1024_levels(depth: int) -> None:
    assert event(_nested(depth)) == event(webhook())


@pytest.mark.parametrize("depth", [1025, 10_000, 500_000])
def test_deeper_nesting_is_a_dead_letter(depth: int) -> None:
    assert refused(_nested(depth)) == ("malformed_json", None)
    assert refused(b"[" * depth) == ("malformed_json", None)


@pytest.mark.parametrize("depth", [1000, 1024])
def test_depth_is_no_hindrance_to_exact_reading(depth: int) -> None:
    body = _nested(depth).replace(b'"timestamp"', b'"odd": "\\ud800", "timestamp"')
    assert event(body) == event(webhook())
    body = _nested(depth).replace(b'"unknown"', b'"action_id": 7.0, "unknown"')
    assert event(body) == event(webhook(action_id=7))


def test_brackets_in_text_are_no_nesting() -> None:
    assert event(webhook(subject="[{" * 5000, action_id=7.0))["properties"]["actionId"] == 7
    body = json.dumps(webhook(unknown="$", subject='\\"[' * 5000)).replace("$", r"\ud800").encode()
    assert event(body)["properties"]["emailSubject"] == '\\"[' * 5000


def test_of_duplicate_names_the_last_holds() -> None:
    body = b'{"data":{"customer_id":"1","customer_id":"2","action_id":"x","action_id":3},"metric":[],"metric":"sent"}'
    made = event(body)
    assert (made["userId"], made["properties"]["actionId"], made["properties"]["metric"]) == ("2", 3, "sent")


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"undefined"])
def test_what_json_has_no_number_for_is_malformed(constant: bytes) -> None:
    assert refused(b'{"data":{"customer_id":"1"},"unknown":' + constant + b"}") == ("malformed_json", None)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"\n", b"{", b"}", b'{"a":1,}', b"{'a':1}", b"{}{}", b"{} x", b"\xff", b'{"a":"\xff"}'),
        *(b"\x00", b'"\x00"', b'{"a":"\n"}', b"01", b"+1", b"1.", b".5", b"// x\n{}", b"\xef\xbb\xbf", b"\xef\xbb"),
        *(b'{"a":"\xed\xa0\x80"}', b"\xc0\x80", b'"\\x"', b'"\\u12"', "{}".encode("utf-16"), "{}".encode("utf-32-le")),
    ],
)
def test_bytes_that_are_no_json_are_malformed(body: bytes) -> None:
    assert refused(body) == ("malformed_json", None)


def test_a_byte_order_mark_is_passed_over() -> None:
    body = json.dumps(webhook()).encode()
    assert event(b"\xef\xbb\xbf" + body) == event(body)
    without_id = b'\xef\xbb\xbf{"data":{"customer_id":"42"}}'
    assert event(without_id)["messageId"] == hashlib.sha256(without_id).hexdigest()


def test_white_space_around_is_nothing() -> None:
    body = json.dumps(webhook()).encode()
    assert event(b" \r\n\t" + body + b" \r\n\t") == event(body)


@pytest.mark.parametrize("profile", PROFILES)
def test_unknown_fields_change_nothing(profile: str) -> None:
    payload = webhook(identifiers={"email": "test@example.com"}, recipients=[{"device_id": "a"}])
    more = json.loads(json.dumps(payload))
    odd: list[Any] = [None, True, 1.5, "text", {"id": []}, [[[]]]]
    for place in (more, more["data"], more["data"]["identifiers"], more["data"]["recipients"][0]):
        place |= {f"unknown_{i}": value for i, value in enumerate(odd)}
    assert outcome(more, profile) == outcome(payload, profile)
