"""The `traceparent` header of W3C Trace Context, passed on if it is valid: https://www.w3.org/TR/trace-context/."""

import re
from contextvars import ContextVar

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_VERSION_00_LENGTH = 55


current_span: ContextVar[str | None] = ContextVar("current_span", default=None)
"""The traceparent of the request's own span if requests are traced (`ingest.tracing`). It replaces the header's."""


def is_valid(header: str) -> bool:
    """Return whether the header is valid. Later versions may append fields after a dash; version 00 may not."""
    if _FORM.match(header) is None:
        return False
    rest = header[_VERSION_00_LENGTH:]
    return not rest or (not header.startswith("00") and rest[0] == "-" and len(header) <= 4 * _VERSION_00_LENGTH)
