"""W3C trace context: the `traceparent` header, passed on only where it is one."""

import re
from contextvars import ContextVar

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_VERSION_00_LENGTH = 55


of_span: ContextVar[str | None] = ContextVar("of_span", default=None)
"""That of the span of this request, where requests are traced (`ingest.tracing`): it goes before the header's."""


def valid(header: str) -> bool:
    """Later versions may append fields after a dash; version 00 may not."""
    if _FORM.match(header) is None:
        return False
    rest = header[_VERSION_00_LENGTH:]
    return not rest or (not header.startswith("00") and rest[0] == "-" and len(header) <= 4 * _VERSION_00_LENGTH)
