"""Why a payload becomes what it becomes."""

import json
from decimal import Decimal
from typing import Any

import pytest

from processor.pipeline.explanation import Explanation, explain, plain
from processor.pipeline.pipeline import record_of
from schemas.customerio.lossless_json import UnrepresentableValue
from tests.support.mapped import RECEIVED_MS, SENT_S, Json, event, webhook


def explained(payload: Json | bytes, profile: str = "rudderstack") -> Explanation:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return explain(record_of(body, received_at_ms=RECEIVED_MS, request_timestamp_s=SENT_S), profile)


def became(payload: Json, profile: str = "rudderstack") -> dict[str, dict[str, Any]]:
    return {use.source: use.targets for use in explained(payload, profile).became}


def left_out(payload: Json, profile: str = "rudderstack") -> dict[str, str]:
    return {left.source: left.why for left in explained(payload, profile).left_out}


@pytest.mark.parametrize(
    ("data", "source", "targets"),
    [
        ({"machine": False}, "data.machine", {"properties.machine": False}),
        ({"machine": "true"}, "data.machine", {"properties.machine": True}),
        ({"subject": "true"}, "data.subject", {"properties.emailSubject": "true"}),
        ({"subject": ""}, "data.subject", {"properties.emailSubject": ""}),
        ({"action_id": 2**63 - 1}, "data.action_id", {"properties.actionId": 2**63 - 1}),
        ({"action_id": -(2**63)}, "data.action_id", {"properties.actionId": -(2**63)}),
        ({"action_id": 0}, "data.action_id", {"properties.actionId": 0}),
        ({"action_id": str(2**63 - 1)}, "data.action_id", {"properties.actionId": 2**63 - 1}),
        ({"headers": {}}, "data.headers", {"properties.headers": {}}),
        ({"recipients": []}, "data.recipients", {"properties.recipients": []}),
        ({"recipients": [{}]}, "data.recipients[0]", {"properties.recipients[0]": {}}),
        (
            {"recipients": [{"failure_message": "why"}]},
            "data.recipients[0].failure_message",
            {"properties.recipients[0].failure_message": "why", "properties.reason": "why"},
        ),
        ({"identifiers": {"cio_id": "c"}}, "data.identifiers.cio_id", {"context.traits.cioId": "c"}),
    ],
)
def test_a_value_is_followed_to_where_it_went(data: Json, source: str, targets: Json) -> None:
    assert became(webhook(**data))[source] == targets


def test_who_and_when() -> None:
    told = became(webhook() | {"timestamp": "2021-02-11T17:04:49Z"})
    assert told["data.customer_id"] == {"userId": "42"}
    assert set(told["timestamp"]) == {"timestamp", "originalTimestamp", "sentAt"}
    anonymous = webhook(identifiers={"cio_id": "c"}, customer_id=None)
    assert became(anonymous)["data.identifiers.cio_id"] == {"anonymousId": "c", "context.traits.cioId": "c"}


def test_everything_in_the_event_is_accounted_for_and_nothing_else() -> None:
    payload = webhook("push", "bounced", recipients=[{"device_id": "a", "device_platform": "ios"}], link_id=1, href="h")
    told = explained(payload)
    assert told.event == event(payload)
    targets = [target for use in told.became for target in use.targets]
    assert not set(targets) & set(told.set_by_us)
    assert told.set_by_us["integrations"] == {"Customer.io": False}
    assert not told.left_out


@pytest.mark.parametrize(
    ("payload", "profile", "source", "why"),
    [
        (webhook(new=1), "rudderstack", "data.new", "unknown to the mapping; it stays in the raw record"),
        (webhook() | {"new": {}}, "rudderstack", "new", "unknown to the mapping; it stays in the raw record"),
        (webhook(href=None), "rudderstack", "data.href", "null counts as absent"),
        (webhook(identifiers={"email": " "}), "rudderstack", "data.identifiers.email", "blank counts as absent"),
        (
            webhook(identifiers={"id": "7"}),
            "rudderstack",
            "data.identifiers.id",
            "not needed: userId comes from data.customer_id",
        ),
        (
            webhook(recipient="a@b", email_address="c@d"),
            "corrected",
            "data.email_address",
            "not needed: context.traits.email comes from data.recipient",
        ),
        (
            webhook(failure_message="own", recipients=[{"failure_message": None}]),
            "rudderstack",
            "data.recipients[0].failure_message",
            "null counts as absent",
        ),
        (
            webhook() | {"timestamp": "abc"},
            "rudderstack",
            "timestamp",
            "not a readable time, so the time of receipt is used",
        ),
    ],
)
def test_what_was_left_out_has_its_reason(payload: Json, profile: str, source: str, why: str) -> None:
    assert left_out(payload, profile)[source] == why


def test_every_problem_is_found_and_each_once() -> None:
    payload = webhook(
        action_id="x",
        headers={"X": [[]]},
        recipients=[{"device_id": []}, "token"],
        identifiers={"cio_id": {}},
        link_id=1.5,
    ) | {"timestamp": -1, "metric": []}
    problems = explained(payload).problems
    assert [problem.field for problem in problems] == [
        "timestamp",
        "metric",
        "data.action_id",
        "data.headers.X[0]",
        "data.recipients[0].device_id",
        "data.recipients[1]",
        "data.link_id",
        "data.identifiers.cio_id",
    ]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"[]", [None]),
        (b"{", [None]),
        (b"{}", ["data.identifiers"]),
        (b'{"data":[]}', ["data"]),
        (b'{"data":{"identifiers":5,"action_id":[]}}', ["data.identifiers", "data.action_id"]),
        (b'{"data":{"customer_id":[]}}', ["data.customer_id"]),
    ],
)
def test_a_body_that_is_no_event_has_a_problem(body: bytes, fields: list[str | None]) -> None:
    told = explained(body)
    assert told.event is None
    assert [problem.field for problem in told.problems] == fields


def test_values_that_json_does_not_know_have_a_form_in_it() -> None:
    assert plain(Decimal("42.0")) == "42.0"
    assert plain(UnrepresentableValue("a number")) == "(a number)"
    with pytest.raises(TypeError, match="set is not JSON"):
        plain(set())
