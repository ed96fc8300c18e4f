"""Times: what Customer.io may send as one, and RudderStack's form of it. Inside they are Unix milliseconds."""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any, TypeVar

from schemas.customerio.lossless_json import LoneSurrogateText, PrecisionLostError
from schemas.error_codes import ErrorCode, PayloadRejectedError

MAX_S = 253_402_300_799
"""The last second of the year 9999."""

_Number = TypeVar("_Number", int, Decimal)

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_DIGITS = re.compile(r"[0-9]+")
_ISO = re.compile(
    r"""\d{4}(?:-\d\d-\d\d|\d{4})                                       # a date, extended or basic
        (?:[T ](?:[01]\d|2[0-3])(?::?[0-5]\d(?::?[0-5]\d(?:[.,]\d+)?)?)? # a time
        (?:Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?                     # a zone""",
    re.ASCII | re.VERBOSE | re.IGNORECASE,
)


def occurred_ms(value: Any, path: str) -> int | None:
    """When an event occurred: a number of seconds, a text of digits (seconds), or an ISO-8601 text.

    ISO-8601 without a zone is UTC, a date alone its first moment; finer than a millisecond is cut off. None where the
    value is null or a text that is none of these. Raises PayloadRejectedError `invalid_timestamp` for any other type,
    and for a time before 1970 or after 9999; PrecisionLostError for a float.
    """
    if value is None:
        return None
    if type(value) is int:
        return _within(value, path) * 1000
    if type(value) is str:
        return _from_text(value, path)
    if type(value) is Decimal:
        return int(_within(value, path).quantize(Decimal("0.001"), ROUND_DOWN) * 1000)
    if type(value) is float:
        raise PrecisionLostError
    if type(value) is LoneSurrogateText:
        return None
    raise PayloadRejectedError(
        ErrorCode.INVALID_TIMESTAMP, f"{path} must be a number of seconds, or text with a time in ISO-8601", path
    )


def _from_text(value: str, path: str) -> int | None:
    if _DIGITS.fullmatch(value):
        # As many digits as one likes: more than Python turns into an integer are after 9999, unless they are zeros.
        significant = value.lstrip("0")[:13]
        return _within(int(significant or "0"), path) * 1000
    if not _ISO.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:  # a 30 February
        return None
    offset = moment.utcoffset() or timedelta()
    since = moment.replace(tzinfo=None) - _EPOCH - offset
    _within(since // timedelta(seconds=1), path)
    return since // _MILLISECOND


def _within(seconds: _Number, path: str) -> _Number:
    if 0 <= seconds < MAX_S + 1:
        return seconds
    hint = "; milliseconds, perhaps? It must be seconds" if seconds > MAX_S else ""
    raise PayloadRejectedError(
        ErrorCode.INVALID_TIMESTAMP, f"{path} is {'after 9999' if seconds > 0 else 'before 1970'}{hint}", path
    )


def iso(ms: int) -> str:
    """RudderStack's form: UTC, with milliseconds and Z."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


def milliseconds(moment: datetime | int) -> int:
    """Unix milliseconds of what an Avro reader gives for `timestamp-millis`."""
    if isinstance(moment, int):
        return moment
    return (moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH) // _MILLISECOND
