"""The write key of a request: where it stands and how it is compared."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

_PARAMETER = "writeKey="
_BLANKS = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"
"""Characters that nobody sees around a pasted key: white space, control characters and characters without width."""


def extract_write_key(query: str, authorization: str | None) -> bytes | None:
    """Return the first `writeKey` of the query that is not blank, else the user name of HTTP Basic, else None.

    The key is returned as `normalize` returns it.
    """
    if query.startswith(_PARAMETER) and "&" not in query and "%" not in query and "+" not in query and query.isascii():
        if key := query[len(_PARAMETER) :].encode():  # nearly all requests come this way
            return key
    else:
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if normalize(unquote_to_bytes(name)) == b"writeKey" and (key := normalize(unquote_to_bytes(value))):
                return key
    return _basic_user(authorization) if authorization else None


def normalize(key: bytes) -> bytes:
    """Return a key in the form in which keys are compared: no blanks around it, and a blank for each `+`.

    In a query some senders mean a blank by `+` and others a plus sign, so the two count as equal. Otherwise a key that
    was pasted without percent-encoding would be unknown.
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
    return normalize(user) or None
