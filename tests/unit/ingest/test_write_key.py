"""Where a request may have its write key, and how it may be written."""

import base64
import unicodedata
from urllib.parse import quote

import pytest

from ingest.sources import extract_write_key


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@pytest.mark.parametrize(
    ("query", "authorization", "key"),
    [
        ("writeKey=abc", None, b"abc"),
        ("x=1&writeKey=abc", None, b"abc"),
        ("writeKey=abc&x=1", None, b"abc"),
        ("writeKey=a%2Bb%20c", None, b"a b c"),
        ("writeKey=a+b", None, b"a b"),
        ("writeKey=%61bc", None, b"abc"),
        ("writeKey=%20abc%20", None, b"abc"),
        ("writeKey=+abc+", None, b"abc"),
        ("writeKey=abc%0D%0A", None, b"abc"),
        ("writeKey=%C2%A0abc%09", None, b"abc"),
        ("writeKey=abc%E2%80%8B%EF%BB%BF", None, b"abc"),
        ("writeKey=abc\u200b", None, b"abc"),
        ("%20writeKey=abc", None, b"abc"),
        ("writeKey=+&writeKey=second", None, b"second"),
        ("writeKey=%20", basic("basic:"), b"basic"),
        ("writeKey=%20", None, None),
        ("", basic(" abc "), b"abc"),
        ("", basic("abc\n:x"), b"abc"),
        ("", basic("a+b:"), b"a b"),
        ("", "  basic   YWJjOg==  ", b"abc"),
        ("", basic(" :"), None),
        ("writeKey=%C3%A9", None, "é".encode()),
        ("writeKey=%FF", None, b"\xff"),
        ("writeKey=a=b", None, b"a=b"),
        ("writeKey=first&writeKey=second", None, b"first"),
        ("writeKey=&writeKey=second", None, b"second"),
        ("writekey=abc", None, None),
        ("", None, None),
        ("writeKey", None, None),
        ("writeKey=", None, None),
        ("", basic("abc:"), b"abc"),
        ("", basic("abc:password"), b"abc"),
        ("", basic("abc"), b"abc"),
        ("", basic("abc:").replace("Basic", "bASIC"), b"abc"),
        ("writeKey=query", basic("basic:"), b"query"),
        ("writeKey=", basic("basic:"), b"basic"),
        ("", basic(":password"), None),
        ("", "Basic", None),
        ("", "Basic !!!", None),
        ("", "Basic é", None),
        ("", "Bearer YWJjOg==", None),
    ],
)
def test_the_write_key_that_a_request_came_with(query: str, authorization: str | None, key: bytes | None) -> None:
    assert extract_write_key(query, authorization) == key


def test_no_white_space_or_control_character_is_a_key() -> None:
    unseen = [one for one in map(chr, range(0x10000)) if one.isspace() or unicodedata.category(one) == "Cc"]
    assert [one for one in unseen if extract_write_key(f"writeKey={quote(one)}", None)] == []
