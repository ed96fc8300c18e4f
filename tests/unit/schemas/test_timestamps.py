"""Times, in each form that Customer.io may send."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.customerio.lossless_json import (
    MAX_S,
    LoneSurrogateText,
    PrecisionLostError,
    UnrepresentableValue,
    occurred_ms,
    read_exactly,
)
from schemas.error_codes import ErrorCode, PayloadRejectedError
from schemas.track_event import iso, milliseconds

T = 1_613_063_089_000


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (1613063089, T),
        (0, 0),
        (MAX_S, MAX_S * 1000),
        (Decimal("1613063089.5"), T + 500),
        (Decimal("1613063089.9999"), T + 999),
        (Decimal("1613063089.00000000000000000000000000000000001"), T),
        (Decimal("1.613063089e9"), T),
        (Decimal("253402300799.9999999999999999999999999999999"), MAX_S * 1000 + 999),
        (Decimal("1e-999999"), 0),
        (Decimal("-0.0"), 0),
        ("1613063089", T),
        ("0001613063089", T),
        ("0" * 5000 + "1613063089", T),
        ("0", 0),
        ("000", 0),
        ("2021", 2_021_000),
        ("20210211", 20_210_211_000),
        ("2021-02-11T17:04:49Z", T),
        ("2021-02-11t17:04:49z", T),
        ("2021-02-11 17:04:49Z", T),
        ("2021-02-11T17:04:49", T),
        ("2021-02-11T17:04:49.5Z", T + 500),
        ("2021-02-11T17:04:49,5Z", T + 500),
        ("2021-02-11T17:04:49.123456789Z", T + 123),
        ("2021-02-11T17:04:49+00:00", T),
        ("2021-02-11T18:04:49+01:00", T),
        ("2021-02-11T18:04:49+0100", T),
        ("2021-02-11T18:04:49+01", T),
        ("2021-02-11T11:34:49-05:30", T),
        ("2021-02-11T17:04Z", T - 49_000),
        ("2021-02-11T17Z", T - 289_000),
        ("2021-02-11", 1_613_001_600_000),
        ("20210211T170449Z", T),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("9999-12-31T23:59:59.999Z", MAX_S * 1000 + 999),
        ("2024-02-29", 1_709_164_800_000),
    ],
)
def test_a_time_that_can_be_read(value: object, ms: int) -> None:
    assert occurred_ms(value, "timestamp") == ms


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", " ", "abc", "now", "1613063089.5", "-1", "+1", " 1613063089", "1613063089 ", "1_6", "1e9", "0x1"),
        *("１６１３", "١٦١٣", "2021-02-30", "2023-02-29", "2021-13-01", "2021-2-1", "2021-02-11T", "2021-02-11T25:00Z"),
        *("2021-02-11T24:00:00Z", "2021-02-11T17:04:60Z", "2021-02-11T17:04:49+24:00", "2021-02-11Z", "0000-01-01"),
        *("2021-02-11T17:04:49Z\n", "2021-02-11x17:04:49", "2021-W06-4", "2021-042", "11 Feb 2021", "02/11/2021"),
        *("Thu, 11 Feb 2021 17:04:49 GMT", "12021-02-11", "२०२१-02-11", "\x00", LoneSurrogateText()),
    ],
)
def test_null_and_a_text_that_is_no_time_are_none(value: object) -> None:
    assert occurred_ms(value, "timestamp") is None


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, [], {}, [0], -1, MAX_S + 1, T, T * 1000, 10**30, UnrepresentableValue("a number")),
        *(Decimal("-0.001"), Decimal(MAX_S + 1), Decimal("1e400"), Decimal("-1e400")),
        *("253402300800", "9" * 5000, str(T), "1969-12-31T23:59:59.999Z", "0001-01-01", "1970-01-01T00:30+01:00"),
        *("9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_any_other_type_and_age_is_refused(value: object) -> None:
    with pytest.raises(PayloadRejectedError) as caught:
        occurred_ms(value, "timestamp")
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_TIMESTAMP, "timestamp")


@pytest.mark.parametrize("value", [1.0, 1613063089.5, -1.0, 1e300])
def test_a_float_has_to_be_read_again(value: float) -> None:
    with pytest.raises(PrecisionLostError):
        occurred_ms(value, "timestamp")


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_iso_texts_of_any_zone_agree_with_pythons_datetime(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    ms = occurred_ms(aware.isoformat(), "timestamp")
    assert ms is not None
    exact = (aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
    assert ms == (aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert 0 <= exact - ms < 1.001
    assert milliseconds(datetime.fromisoformat(iso(ms))) == ms
    assert occurred_ms(iso(ms), "timestamp") == ms


@given(st.integers(0, MAX_S), st.integers(0, 999))
def test_a_fraction_of_milliseconds_is_exact(seconds: int, ms: int) -> None:
    value: Any = read_exactly(f"{seconds}.{ms:03}".encode())
    assert occurred_ms(value, "timestamp") == seconds * 1000 + ms
