"""Which write key a request came with."""

import base64
import binascii
from urllib.parse import unquote_plus

_PARAMETER = "writeKey="


def presented(query: str, authorization: str | None) -> bytes | None:
    """The first `writeKey` of the query that is not empty, else the user name of HTTP Basic, else None."""
    if query.startswith(_PARAMETER) and "&" not in query and "%" not in query and "+" not in query:
        key = query[len(_PARAMETER) :]  # as nearly all requests have it
        if key:
            return key.encode()
    for pair in query.split("&"):
        if pair.startswith(_PARAMETER) and (key := unquote_plus(pair[len(_PARAMETER) :], errors="surrogateescape")):
            return key.encode("utf-8", "surrogateescape")
    return _basic_user(authorization) if authorization else None


def _basic_user(authorization: str) -> bytes | None:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except (binascii.Error, ValueError):
        return None
    return user or None
