"""Times: the forms that Customer.io may send, and RudderStack's form. Internally they are Unix milliseconds."""

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
    """Return when an event occurred, in Unix milliseconds.

    The value can be a number of seconds, a text of digits (seconds), or an ISO-8601 text. ISO-8601 without a zone is
    UTC, and a date alone is its first moment; anything finer than a millisecond is cut off. Returns None for null and
    for any other text. Raises PayloadRejectedError `invalid_timestamp` for any other type and for a time before 1970 or
    after 9999, and PrecisionLostError for a float.
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
        # There may be more digits than Python converts to an integer. 13 significant digits are after 9999.
        significant = value.lstrip("0")[:13]
        return _within(int(significant or "0"), path) * 1000
    if not _ISO.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:  # February 30, for example
        return None
    offset = moment.utcoffset() or timedelta()
    since = moment.replace(tzinfo=None) - _EPOCH - offset
    _within(since // timedelta(seconds=1), path)
    return since // _MILLISECOND


def _within(seconds: _Number, path: str) -> _Number:
    if 0 <= seconds < MAX_S + 1:
        return seconds
    hint = "; it looks like milliseconds, but must be seconds" if seconds > MAX_S else ""
    raise PayloadRejectedError(
        ErrorCode.INVALID_TIMESTAMP, f"{path} is {'after 9999' if seconds > 0 else 'before 1970'}{hint}", path
    )


def iso(ms: int) -> str:
    """Return a time in RudderStack's form: ISO-8601 in UTC with milliseconds and Z."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


def milliseconds(moment: datetime | int) -> int:
    """Return the Unix milliseconds of a `timestamp-millis` value from an Avro reader."""
    if isinstance(moment, int):
        return moment
    return (moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH) // _MILLISECOND
