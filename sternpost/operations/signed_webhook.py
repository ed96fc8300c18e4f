"""Requests to the webhook endpoint, signed as Customer.io signs them.

https://docs.customer.io/integrations/api/webhooks
"""

import hashlib
import hmac
import time
from urllib.parse import quote

TIMEOUT_S = 4.0
"""How long Customer.io waits for an answer."""


def signature(signing_key: str, timestamp: int, body: bytes) -> str:
    """Return `X-CIO-Signature`: the hex HMAC-SHA256 of `v0:<timestamp>:<body>`; `timestamp` is in Unix seconds."""
    return hmac.new(signing_key.encode(), b"v0:%d:%b" % (timestamp, body), hashlib.sha256).hexdigest()


def headers(signing_key: str | None, body: bytes) -> dict[str, str]:
    """Return the headers of a request that is sent now; without a signing key it has no signature."""
    found = {"Content-Type": "application/json"}
    if signing_key:
        now_s = int(time.time())
        found |= {"X-CIO-Timestamp": str(now_s), "X-CIO-Signature": signature(signing_key, now_s, body)}
    return found


def query(write_key: str) -> str:
    """Return the query of the endpoint's URL."""
    return f"writeKey={quote(write_key, safe='')}"
