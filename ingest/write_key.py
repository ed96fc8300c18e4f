"""Which write key a request came with."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

_PARAMETER = "writeKey="
_BLANKS = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"
"""What nobody sees around a key that was pasted: white space, control characters and characters without width."""


def presented(query: str, authorization: str | None) -> bytes | None:
    """The first `writeKey` of the query that is not blank, else the user name of HTTP Basic, else None.

    The key is in the form that `comparable` gives.
    """
    if query.startswith(_PARAMETER) and "&" not in query and "%" not in query and "+" not in query and query.isascii():
        if key := query[len(_PARAMETER) :].encode():  # as nearly all requests have it
            return key
    else:
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if comparable(unquote_to_bytes(name)) == b"writeKey" and (key := comparable(unquote_to_bytes(value))):
                return key
    return _basic_user(authorization) if authorization else None


def comparable(key: bytes) -> bytes:
    """A key as it is compared: without blanks around it, and with a blank for each `+`.

    In a query `+` is a blank to some senders and itself to others, so the two count as the same; otherwise a key that
    was pasted as it is, rather than percent-encoded, would be unknown.
    """
    text = key.decode("utf-8", "surrogateescape").replace("+", " ").strip(_BLANKS)
    return text.encode("utf-8", "surrogateescape")


def _basic_user(authorization: str) -> bytes | None:
    scheme, _, credentials = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except (binascii.Error, ValueError):
        return None
    return comparable(user) or None
