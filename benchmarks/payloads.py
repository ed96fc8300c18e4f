"""The input: varied webhooks of about 500 bytes, and the records that ingest makes of them."""

from typing import NamedTuple

import orjson

from schemas import record_headers
from schemas.customerio.event_identity import identify
from sternpost.local import samples

BYTES = 500
"""Bodies shorter than this are filled up, by what the message said."""

PEOPLE = 10_000

_FILLER = "Your order is on its way and arrives tomorrow between 9 and 12. " * 8


class Webhook(NamedTuple):
    """A body, with what ingest finds in it."""

    body: bytes
    event_id: str
    person: str | None

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """As ingest writes them to the raw topic."""
        return [(record_headers.SOURCE, b"bench"), (record_headers.EVENT_ID, self.event_id.encode())]


def webhook(index: int, run: str = "", people: int = PEOPLE) -> Webhook:
    """Return the index-th webhook of a run, with its own event id. Kinds and people take turns."""
    payload = samples.payload(index, run, people)
    body = orjson.dumps(payload)
    if len(body) < BYTES and "content" not in payload["data"]:
        payload["data"]["content"] = _FILLER[: max(1, BYTES - len(body) - len('"content":"",'))]
        body = orjson.dumps(payload)
    identity = identify(body)
    return Webhook(body, identity.event_id, identity.person)
