"""Webhooks whose values sinks find hard: each has been sent by somebody, or can be."""

from collections.abc import Iterator
from typing import Any

MAX_LONG, MIN_LONG = 2**63 - 1, -(2**63)
TEXT = "quotes \" and ' and ` and \\, a\ttab, a\nnew line, 漢字, ⚓, e\u0301, \u202eleft, $1, {x}, %s, null, NULL, \\N"
LONG_TEXT = "<p>Grüße, 漢字 ⚓</p>\n" * 5_000
"""Some 130 kB: an email's body."""

FIRST_MS = "1970-01-01T00:00:00.001Z"
LAST_MS = "2199-12-31T23:59:59.999Z"
"""Later dates are allowed too, but ClickHouse's DateTime64 ends there: docs/sinks.md says so."""


def payloads(run: str) -> Iterator[dict[str, Any]]:
    """Yield payloads with event ids that begin with `run`."""
    for number, payload in enumerate(_payloads()):
        yield {"event_id": f"{run}-awkward-{number:02d}", **payload}


def _payloads() -> Iterator[dict[str, Any]]:
    def email(metric: str = "sent", customer_id: str | None = "awkward", **data: Any) -> dict[str, Any]:
        identifiers = {"id": customer_id, "email": None, "cio_id": "d9c1"}
        return {
            "object_type": "email",
            "metric": metric,
            "timestamp": 1_700_000_000,
            "data": {"customer_id": customer_id, "identifiers": identifiers, **data},
        }

    yield email()
    yield email(customer_id=None, subject=None, headers=None, recipient=None, href=None)  # an anonymous person
    yield email(subject="", content="", delivery_id="")  # empty is not absent
    yield email(subject=TEXT, content=LONG_TEXT, recipient="grüße@example.com")
    yield email(subject="nul\0 and \\\0", content="not nul: \\u0000, \\\\u0000")
    yield email(campaign_id=MAX_LONG, newsletter_id=MIN_LONG, action_id=2**53 + 1, trigger_id=0, content_id=-1)
    yield email(headers={})
    yield email(headers={"X-One": ["1"], "X-Many": ["a", "", TEXT], "X-None": [], "x-Grüße": ["漢字"], "": ["no name"]})
    yield email("clicked", href="https://example.com/?a=%20&b=ä#⚓", link_id=MAX_LONG, machine=True)
    yield email("clicked", link_id=7)  # half of a nested record
    yield email("opened", proxied=True, prefetched=False, synthetic=None)
    yield {**email("opened"), "timestamp": FIRST_MS}
    yield {**email("opened"), "timestamp": LAST_MS}
    yield {**email("opened"), "timestamp": 1_700_000_000.123}
    devices = [
        {"device_id": TEXT, "device_platform": "ios", "failure_message": "BadDeviceToken"},
        {"device_id": "2", "device_platform": None},
        {},
    ]
    yield {**email("bounced", recipients=devices), "object_type": "push"}
    yield {**email("bounced", recipients=[]), "object_type": "push"}
    yield {"metric": "something new", "object_type": "carrier pigeon", "data": {"identifiers": {"cio_id": "d9c1"}}}
