"""What the endpoint answers, and what each answer makes Customer.io do.

Customer.io takes any 2xx for success and tries everything else again, but what it does until then depends on the
status: after 400, 401, 403, 404, 405, 429, 500, 502, a refused or a reset connection it waits an hour with every later
event behind the one that failed; after 408, 413 and 503 it backs off from seconds upwards. So whatever is our trouble
or may pass by itself is 503 or 408, and the statuses of the hour are left to requests that no waiting mends.
"""

from typing import NamedTuple

Headers = list[tuple[str, str]]


class Response(NamedTuple):
    """One row of the table."""

    status: int
    outcome: str
    """The label of `sternpost_ingest_requests_total`."""
    body: bytes
    headers: Headers
    closing: Headers
    """The same and `Connection: close`: the connection is not to be used again."""


_TEXT = ("content-type", "text/plain; charset=utf-8")
_CLOSE = ("connection", "close")


def _answer(status: int, outcome: str, body: str, *headers: tuple[str, str]) -> Response:
    sent = [_TEXT, *headers]
    return Response(status, outcome, body.encode(), sent, [*sent, _CLOSE])


class Responses:
    """Every answer there is; only `Retry-After` is settable."""

    def __init__(self, retry_after_s: int) -> None:
        retry = ("retry-after", str(retry_after_s))
        challenge = ("www-authenticate", 'Basic realm="webhook"')
        self.ok = _answer(200, "ok", "OK")

        self.unknown_key = _answer(401, "unknown_key", "no or unknown write key\n", challenge)
        self.bad_signature = _answer(401, "bad_signature", "missing, wrong or outdated signature\n", challenge)
        self.not_found = _answer(404, "not_found", "webhooks go to /v1/webhook\n")
        self.wrong_method = _answer(405, "wrong_method", "webhooks are sent by POST\n", ("allow", "POST"))

        self.too_large = _answer(413, "too_large", "the body is over the limit\n")
        self.incomplete = _answer(408, "incomplete", "the body did not arrive whole\n")
        self.too_slow = _answer(408, "too_slow", "the body took too long\n")

        self.busy = _answer(503, "busy", "too much waits for Kafka already; try again\n", retry)
        self.late = _answer(503, "late", "Kafka did not acknowledge in time; try again\n", retry)
        self.refused = _answer(503, "refused", "Kafka did not take it; try again\n", retry)
        self.internal_error = _answer(503, "internal_error", "a fault of the receiver; try again\n", retry)
        self.all = [value for value in vars(self).values() if isinstance(value, Response)]
