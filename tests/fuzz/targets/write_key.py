"""The query and the Authorization header. The oracle of a query is the standard library's parser of forms."""

import base64
from urllib.parse import parse_qsl, quote

from ingest import sources
from tests.fuzz.taker import Taker, piece

SEEDS = [
    piece(b"writeKey=key") + piece(b""),
    piece(b"a=b&writeKey=%20two+words%2B&writeKey=other") + piece(b""),
    piece(b"write%4bey=%ff%FE%zz%") + piece(b""),
    piece(b"writeKey=") + piece(b"Basic " + base64.b64encode(b"user:password")),
    piece(b"") + piece(b" basic   " + base64.b64encode(b" \xff\xc3\xa4 :") + b" "),
    piece("writeKey=\u200bключ\ufeff".encode()) + piece(b"Bearer x"),
]
WORDS = [b"writeKey=", b"Basic ", b"%2B", b"%00", b"&", b";"]


def check(data: bytes) -> None:
    taker = Taker(data)
    # HTTP's parsers refuse a request line with blanks or control characters in its query.
    query = "".join(letter if "!" <= letter != "\x7f" else quote(letter) for letter in taker.text())
    authorization = taker.text()
    key = sources.extract_write_key(query, authorization or None)
    assert key is None or (key and key == key.strip(b" +"))
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    named = [_blanks_off(value) for name, value in pairs if _blanks_off(name) == "writeKey"]
    expected = next((value.encode("utf-8", "surrogateescape") for value in named if value), None)
    if expected is not None:
        assert key == expected
    else:
        assert key == sources.extract_write_key("", authorization or None)
    user = taker.piece().replace(b":", b"")
    basic = "Basic " + base64.b64encode(user + b":" + taker.piece()).decode()
    found = sources.extract_write_key("", basic)
    assert (found or b"") == _blanks_off(user.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _blanks_off(text: str) -> str:
    text = text.replace("+", " ")
    first, last = 0, len(text)
    while first < last and _is_blank(text[first]):
        first += 1
    while last > first and _is_blank(text[last - 1]):
        last -= 1
    return text[first:last]


def _is_blank(letter: str) -> bool:
    return letter.isspace() or ord(letter) <= 0x20 or letter in "\x7f\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
