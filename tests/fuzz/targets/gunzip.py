"""Bodies that say they are gzip. The oracle is zlib fed byte by byte, and the standard library's gzip."""

import gzip
import zlib

from ingest import request_body
from ingest.request_body import MOST_MEMBERS, BodyTooLargeError

LIMIT = 3_000

SEEDS = [
    gzip.compress(b'{"event_id":"1"}', mtime=0),
    gzip.compress(bytes(LIMIT), mtime=0),
    gzip.compress(bytes(LIMIT + 1), mtime=0),
    gzip.compress(b"two", mtime=0) + gzip.compress(b"members", mtime=0),
    gzip.compress(b"", mtime=0) * MOST_MEMBERS,
    gzip.compress(b"", mtime=0) * (MOST_MEMBERS + 1),
    gzip.compress(b"cut short", mtime=0)[:-3],
    gzip.compress(b"and more", mtime=0) + b"\0\0",
    gzip.compress(bytes(range(256)) * 4, 0, mtime=0),
    b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x04\0abcdname\0comment\0\x12\x34",
]
WORDS = [b"\x1f\x8b\x08", b"\x03\x00", bytes(8)]


def check(data: bytes) -> None:
    try:
        found: bytes | str | None = request_body.gunzip(data, LIMIT)
    except BodyTooLargeError:
        found = "too large"
    expected = _expected(data)
    if found is None and expected == "too large":
        # zlib looks at what follows the last byte that there is room for: a wrong checksum, and it is no gzip.
        assert not _is_gzip(data)
    else:
        assert found == expected
    if isinstance(found, bytes):
        assert gzip.decompress(data) == found


def _is_gzip(data: bytes) -> bool:
    try:
        gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return False
    return True


def _expected(data: bytes) -> bytes | str | None:
    out = 0
    members: list[bytes] = []
    while data:
        if len(members) == MOST_MEMBERS:
            return None
        member, content = zlib.decompressobj(wbits=31), b""
        given = 0
        while not member.eof:
            try:
                byte = member.decompress(data[given : given + 1], 1)
                given += 1
                while byte:
                    content += byte
                    out += 1
                    if out > LIMIT:
                        return "too large"
                    byte = member.decompress(member.unconsumed_tail, 1)
            except zlib.error:
                return None
            if given >= len(data) and not member.eof:
                return None
        members.append(content)
        data = member.unused_data + data[given:]
    return b"".join(members) if members else None
