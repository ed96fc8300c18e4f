"""`sternpost transform`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from processor.pipeline.mapper import Mapper
from sternpost.cli.main import cli
from sternpost.local import samples
from tests.support.payloads import bodies

GOOD = b'{"event_id":"e","object_type":"email","metric":"sent","timestamp":1,"data":{"customer_id":"42"}}'


def transform(*options: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["transform", *options], input=stdin)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout_bytes.splitlines()]


def test_every_sample_becomes_an_event() -> None:
    payloads = list(samples.one_of_each())
    made = lines(transform(stdin="\n".join(map(json.dumps, payloads)).encode()))
    assert [m["outcome"] for m in made] == ["event"] * len(payloads)
    assert [m["event"]["messageId"] for m in made] == [p["event_id"] for p in payloads]
    assert "Unknown Event" not in {m["event"]["event"] for m in made}


def test_the_event_is_in_rudderstacks_form() -> None:
    [made] = lines(transform("--received-at", "2026-01-31T12:00:00.250Z", stdin=GOOD))
    assert made == {
        "outcome": "event",
        "event": {
            "type": "track",
            "event": "Email Sent",
            "messageId": "e",
            "channel": "server",
            "userId": "42",
            "timestamp": "1970-01-01T00:00:01.000Z",
            "originalTimestamp": "1970-01-01T00:00:01.000Z",
            "sentAt": "1970-01-01T00:00:01.000Z",
            "receivedAt": "2026-01-31T12:00:00.250Z",
            "context": {
                "library": {"name": "unknown", "version": "unknown"},
                "integration": {"name": "Customer.io"},
                "sourceType": "Customer.io",
                "sourceId": "default",
            },
            "integrations": {"Customer.io": False},
            "properties": {"objectType": "email", "metric": "sent", "eventId": "e"},
        },
    }


def test_a_dead_letter_says_code_field_and_message() -> None:
    [made] = lines(transform(stdin=GOOD.replace(b'"42"', b'"42","action_id":"x"')))
    assert made == {
        "outcome": "dead_letter",
        "code": "invalid_field",
        "field": "data.action_id",
        "message": "data.action_id must be a whole number; it is text",
    }


@pytest.mark.parametrize(
    ("stdin", "outcomes"),
    [
        (b"", []),
        (b"\n", ["dead_letter"]),
        (GOOD, ["event"]),
        (GOOD + b"\n", ["event"]),
        (GOOD + b"\r\n" + GOOD + b"\r\n", ["event", "event"]),
        (b"\n" + GOOD + b"\n\n  \n", ["dead_letter", "event", "dead_letter", "dead_letter"]),
        (b"\xff\xfe\n" + GOOD + b"\n\x00\n\r\n", ["dead_letter", "event", "dead_letter", "dead_letter"]),
        (GOOD.replace(b"42", "4\u2028\x852".encode()) + b"\n" + GOOD, ["event", "event"]),
        (GOOD[:-1] + b"\r" + GOOD[-1:], ["event"]),
        (b"[" * 10_000 + b"\n" + GOOD, ["dead_letter", "event"]),
        (GOOD.replace(b"42", b"x" * 2**20) + b"\n" + GOOD, ["event", "event"]),
    ],
)
def test_one_line_out_for_each_line_in(stdin: bytes, outcomes: list[str]) -> None:
    assert [made["outcome"] for made in lines(transform(stdin=stdin))] == outcomes


@given(st.lists(st.binary() | bodies()), st.sampled_from(["rudderstack", "corrected"]))
def test_any_bytes_give_one_outcome_a_line(payloads: list[bytes], profile: str) -> None:
    stdin = b"".join(payload.replace(b"\n", b" ") + b"\n" for payload in payloads)
    made = lines(transform("--profile", profile, stdin=stdin))
    assert [set(m) for m in made] == [
        {"outcome", "event"} if m["outcome"] == "event" else {"outcome", "code", "field", "message"} for m in made
    ]
    assert len(made) == len(payloads)


def test_a_line_end_is_no_part_of_the_body_whose_hash_is_the_id() -> None:
    body = b'{"data":{"customer_id":"42"}}'
    made = lines(transform(stdin=body + b"\n" + body + b"\r\n" + body))
    assert len({m["event"]["messageId"] for m in made}) == 1


def test_profiles() -> None:
    sms = GOOD.replace(b"email", b"sms").replace(b'"42"', b'"42","recipient":"+15551234567"')
    [plain] = lines(transform(stdin=sms))
    [corrected] = lines(transform("--profile", "corrected", "--sent-at", "5", stdin=sms))
    assert plain["event"]["context"]["traits"] == {"email": "+15551234567"}
    assert corrected["event"]["context"]["traits"] == {"phone": "+15551234567"}
    assert corrected["event"]["sentAt"] == "1970-01-01T00:00:05.000Z"
    assert "sentAt" not in lines(transform("--profile", "corrected", stdin=sms))[0]["event"]


def test_a_fault_of_ours_is_a_dead_letter_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Mapper.row

    def broken(self: Mapper, body: bytes, *circumstances: Any) -> Any:
        if b"bad" in body:
            raise KeyError("private")
        return real(self, body, *circumstances)

    monkeypatch.setattr(Mapper, "row", broken)
    first, second = lines(transform(stdin=b'{"bad":1}\n' + GOOD))
    assert (first["code"], second["outcome"]) == ("internal_error", "event")
    assert "KeyError at test_transform.py" in first["message"]
    assert "private" not in first["message"]


def test_dead_letters_are_no_failure_unless_asked() -> None:
    assert transform(stdin=b"{}\n").exit_code == 0
    assert transform("--strict", stdin=GOOD).exit_code == 0


def test_a_file_is_read_like_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "payloads.jsonl"
    file.write_bytes(GOOD + b"\n" + GOOD)
    assert len(lines(transform(str(file)))) == 2
    missing = transform(str(tmp_path / "none"))
    assert missing.exit_code == 2
    assert "No such file" in missing.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--received-at", "yesterday"], "ISO-8601"),
        (["--received-at", "99999999999999"], "after 9999"),
        (["--profile", "segment"], "rudderstack"),
        (["--line", "1"], "--explain"),
        (["--explain", "--line", "0"], "--line"),
        (["--explain", "--line", "3"], "no line 3"),
    ],
)
def test_misuse_is_explained(options: list[str], says: str) -> None:
    result = transform(*options, stdin=GOOD)
    assert result.exit_code == 2
    assert says in result.output


CLICKED = {
    "event_id": "e1",
    "object_type": "sms",
    "metric": "clicked",
    "timestamp": "1613063089",
    "data": {
        "customer_id": "",
        "identifiers": {"id": "42", "email": "test@example.com"},
        "recipient": "+15551234567",
        "action_id": "7",
        "broadcast_id": None,
        "new": {"x": [1]},
    },
}


def test_explain_says_what_became_what_and_what_was_left_out_and_why() -> None:
    [told] = lines(transform("--explain", "--json", stdin=json.dumps(CLICKED, indent=2).encode()))
    assert told["outcome"] == "event"
    became = {use["source"]: use["targets"] for use in told["became"]}
    assert became["data.action_id"] == {"properties.actionId": 7}
    assert became["metric"] == {"event": "SMS Link Clicked", "properties.metric": "clicked"}
    assert {left["source"]: left["why"] for left in told["left_out"]} == {
        "data.customer_id": "blank counts as absent",
        "data.recipient": "not needed: context.traits.email comes from data.identifiers.email",
        "data.broadcast_id": "null counts as absent",
        "data.new": "unknown to the mapping; it stays in the raw record",
    }
    assert told["set_by_us"]["type"] == "track"


@pytest.mark.parametrize("unknown", [False, True])
def test_explain_takes_the_last_of_very_many_values_as_one(unknown: bool) -> None:
    """Of 16,000 values in a 1 MiB payload, each would take a mapping of the whole payload."""
    devices = [{"device_id": f"{index:060}"} for index in range(16_000)]
    data = {**CLICKED["data"], **({f"f{index:055}": 1 for index in range(16_000)} if unknown else {})}  # type: ignore[dict-item]
    body = {**CLICKED, "data": data if unknown else {**data, "recipients": devices}}
    [told] = lines(transform("--explain", "--json", stdin=json.dumps(body).encode()))
    became = {use["source"]: use["targets"] for use in told["became"]}
    assert became["metric"] == {"event": "SMS Link Clicked", "properties.metric": "clicked"}
    together = next(name for name in (*became, *(left["source"] for left in told["left_out"])) if "further" in name)
    assert (together in became) is not unknown
    mapped = {target for targets in became.values() for target in targets}
    assert ("properties.recipients[15999].device_id" in mapped) is not unknown
    assert not any("recipients" in target for target in told["set_by_us"])


def test_explain_reads_well() -> None:
    said = transform("--explain", stdin=json.dumps(CLICKED).encode()).output
    assert said.startswith("SMS Link Clicked\n\nbecomes\n")
    assert '  data.action_id          → properties.actionId    "7" → 7\n' in said
    assert "\x1b" not in said


def test_explain_points_at_every_problem() -> None:
    data = {**CLICKED["data"], "action_id": "seven", "recipients": [{"device_id": []}]}  # type: ignore[dict-item]
    result = transform("--explain", stdin=json.dumps({**CLICKED, "data": data, "timestamp": -1}).encode())
    assert result.exit_code == 0
    assert result.output.count("error[") == 3
    assert (
        "error[invalid_field]: data.action_id must be a whole number; it is text\n"
        '   |     "identifiers": {"id": "42", "email": "test@example.com"},\n'
        '   |     "recipient": "+15551234567",\n'
        '   |     "action_id": "seven",\n'
        "   |                  ^^^^^^^\n"
        '   |     "broadcast_id": null,\n'
        '   |     "new": {"x": [1]},\n'
        "   = help: "
    ) in result.output
    assert result.output.endswith("3 problems: this payload becomes a dead letter, invalid_timestamp\n")


def test_explain_points_at_the_place_where_json_ends_to_be_json() -> None:
    said = transform("--explain", stdin=b'{"a": 1,\n "b": tru }').output
    assert said.startswith(
        "error[malformed_json]: the body is not JSON text that can be read: expecting value (line 2, column 7)\n"
        '2 |  "b": tru }\n'
        "  |       ^\n"
    )
    assert "byte 2 is not UTF-8" in transform("--explain", stdin=b'"\xff"').output
    assert "NaN is not JSON" in transform("--explain", stdin=b"[NaN]").output
    assert "1024 levels" in transform("--explain", stdin=b"[" * 2000).output


def test_explain_takes_one_payload_of_several_by_its_line() -> None:
    several = GOOD + b"\n" + json.dumps(CLICKED).encode() + b"\n"
    result = transform("--explain", stdin=several)
    assert result.exit_code == 2
    assert "holds 2 payloads; choose one with --line" in result.output
    assert transform("--explain", "--line", "2", stdin=several).output.startswith("SMS Link Clicked")


@given(bodies(), st.sampled_from(["rudderstack", "corrected"]))
def test_explain_takes_any_bytes_and_agrees_with_the_mapping(body: bytes, profile: str) -> None:
    body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    options = ("--profile", profile, "--received-at", "1613063090")
    [made] = lines(transform(*options, stdin=body + b"\n"))
    [told] = lines(transform(*options, "--explain", "--json", "--line", "1", stdin=body + b"\n"))
    assert {name: told[name] for name in made} == made
    assert transform(*options, "--explain", stdin=body).exit_code == 0
