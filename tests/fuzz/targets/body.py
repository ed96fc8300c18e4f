"""A request's body as the server hands it out. The oracle adds up the pieces in the order of BodyReader's promises."""

import asyncio
import atexit
from collections.abc import Awaitable

from granian._granian import RSGIProtocolClosed as ProtocolClosed

from ingest.request_body import (
    SMALL_BYTES,
    BodyReader,
    BodyTimeoutError,
    BodyTooLargeError,
    IncompleteBodyError,
    ReceiveBufferFullError,
)
from tests.fuzz.taker import Taker

LIMIT, TIMEOUT_S, RECEIVING_BYTES = 2 * SMALL_BYTES, 5.0, 3 * SMALL_BYTES
_CHUNK, _EMPTY, _BROKEN, _SILENT = range(4)
_UNIT = 512
"""Chunks have a multiple of so many bytes, so that few bytes of the fuzzer make a large body."""

SEEDS = [
    b"\x00\x00\x00\x00" + b"\x00\x02\x01\x01",
    b"\x01\x04\x00\x00" + b"\x00\x02\x01",
    b"\x01\x80\x40\x00" + b"\x00\x40\x01",
    b"\x01\xff\x00\x00" + b"\x00\x7f\x01",
    b"\x00\x00\x00\x01" + b"\x00\x10\x01\x01",
    b"\x00\x00\x5f\x00" + b"\x00\x10\x01",
    b"\x00\x00\x00\x00" + b"\x00\x10\x02",
    b"\x01\x10\x00\x00" + b"\x00\x10\x03",
]

_runner = asyncio.Runner()
atexit.register(_runner.close)


class _Body:
    """The pieces of a body as granian hands them out: an empty one at the end, and then no more."""

    def __init__(self, pieces: list[tuple[int, bytes]]) -> None:
        self._pieces = iter(pieces)

    def __call__(self) -> Awaitable[bytes]:
        async def whole() -> bytes:
            return b"".join([piece async for piece in self])

        return whole()

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        kind, content = next(self._pieces, (None, b""))
        if kind is None:
            raise StopAsyncIteration
        if kind == _BROKEN:
            raise ProtocolClosed
        if kind == _SILENT:
            await asyncio.Event().wait()
        return content


def check(data: bytes) -> None:
    taker = Taker(data)
    says_length, size = taker.flag(), taker.number(256) * _UNIT // 2
    length = str(size) if says_length else None
    held, http2 = taker.number(256) * _UNIT // 2, taker.flag()
    pieces = []
    while taker:
        kind = taker.number(4)
        pieces.append((kind, bytes(taker.number(256) * _UNIT) if kind == _CHUNK else b""))
    pieces = [piece if piece != (_CHUNK, b"") else (_EMPTY, b"") for piece in pieces]
    assert _runner.run(_read(pieces, length, held, http2)) == _expected(pieces, length, held, http2)


async def _read(pieces: list[tuple[int, bytes]], length: str | None, held: int, http2: bool) -> bytes | type:
    reader = BodyReader(LIMIT, TIMEOUT_S, RECEIVING_BYTES)
    now = asyncio.get_running_loop().time()
    other = asyncio.create_task(
        reader.read(_Body([(_CHUNK, bytes(held)), (_SILENT, b"")]), None, now + TIMEOUT_S, http2=False)
    )
    await asyncio.sleep(0)  # it receives `held` bytes, and no more
    reading = asyncio.create_task(reader.read(_Body(pieces), length, now, http2=http2))
    await asyncio.wait([reading], timeout=0)
    for _ in range(2):
        await asyncio.sleep(0)
    reader.expire(now + TIMEOUT_S)
    (found,) = await asyncio.gather(reading, return_exceptions=True)
    reader.expire(now + 2 * TIMEOUT_S)
    await asyncio.gather(other, return_exceptions=True)
    assert reader._receiving_bytes == 0
    assert reader._deadlines == {}
    return found if isinstance(found, bytes) else type(found)


def _expected(pieces: list[tuple[int, bytes]], length: str | None, held: int, http2: bool) -> bytes | type:
    if length is not None and int(length) > LIMIT:
        return BodyTooLargeError
    at_once = length is not None and int(length) <= SMALL_BYTES
    held = held if held <= min(LIMIT, RECEIVING_BYTES) else 0
    content, ends = b"", 0
    for kind, piece in pieces:
        if kind == _BROKEN:
            return IncompleteBodyError
        if kind == _SILENT:
            return BodyTimeoutError
        content += piece
        ends += kind == _EMPTY
        if not at_once and len(content) > LIMIT:
            return BodyTooLargeError
        if not at_once and held + len(content) > RECEIVING_BYTES:
            return ReceiveBufferFullError
    whole = len(content) == int(length) if length is not None else http2 or ends < 2
    return content if whole else IncompleteBodyError
