"""The endpoint's responses, and what each makes Customer.io do.

Customer.io takes any 2xx within 4 seconds for success and retries everything else for seven days, while later events
of the same webhook wait. After 400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521, a refused or reset connection or
a TLS error it waits an hour before the next try; after other failures, such as 408, 413 and 503, it backs off
exponentially. So a fault of ours, and a fault that may pass by itself, is answered 503 or 408; the statuses that cost
an hour are left to requests that no retry can make right. https://docs.customer.io/integrations/api/webhooks
"""

from typing import NamedTuple

Headers = list[tuple[str, str]]


class Response(NamedTuple):
    """A response of the endpoint."""

    status: int
    outcome: str
    """The label of `sternpost_ingest_requests_total`."""
    body: bytes
    headers: Headers
    closing_headers: Headers
    """The headers with `Connection: close`, which asks the client not to use the connection again."""


_TEXT = ("content-type", "text/plain; charset=utf-8")
_CLOSE = ("connection", "close")


def _response(status: int, outcome: str, body: str, *headers: tuple[str, str]) -> Response:
    sent = [_TEXT, *headers]
    return Response(status, outcome, body.encode(), sent, [*sent, _CLOSE])


class Responses:
    """All responses of the endpoint."""

    def __init__(self, retry_after_s: int) -> None:
        """Make the responses. Each 503 says `Retry-After: retry_after_s`."""
        retry = ("retry-after", str(retry_after_s))
        challenge = ("www-authenticate", 'Basic realm="webhook"')
        self.ok = _response(200, "ok", "OK")

        self.unknown_key = _response(401, "unknown_key", "no or unknown write key\n", challenge)
        self.bad_signature = _response(401, "bad_signature", "missing, wrong or outdated signature\n", challenge)
        self.not_found = _response(404, "not_found", "webhooks go to /v1/webhook\n")
        self.wrong_method = _response(405, "wrong_method", "webhooks are sent by POST\n", ("allow", "POST"))

        self.too_large = _response(413, "too_large", "the body is over the limit\n")
        self.incomplete = _response(408, "incomplete", "the body did not arrive whole\n")
        self.too_slow = _response(408, "too_slow", "the body took too long\n")

        self.busy = _response(503, "busy", "too much waits for Kafka already; try again\n", retry)
        self.late = _response(503, "late", "Kafka did not acknowledge in time; try again\n", retry)
        self.refused = _response(503, "refused", "Kafka did not take it; try again\n", retry)
        self.internal_error = _response(503, "internal_error", "a fault of the receiver; try again\n", retry)
        self.all = [value for value in vars(self).values() if isinstance(value, Response)]
