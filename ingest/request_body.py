"""Reading a request's body, never more of it than the limit and never for longer than the time-out.

A body is what comes after `Content-Encoding: gzip` is undone; one that says gzip and is none is taken as it came, like
any other body that no one will be able to read: it is kept, and becomes a dead letter.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol, cast

from granian._granian import RSGIProtocolClosed as ProtocolClosed
from granian._granian import RSGIProtocolError as ProtocolError

GZIP_WBITS = 31

MOST_MEMBERS = 16
"""Of a gzip. Compressors make one; a megabyte of empty ones would keep the event loop busy for a second."""

SMALL_BYTES = 16_384
"""A body that is announced to be no longer is not counted while it comes in: connections are bounded as it is."""


class BodyTooLargeError(Exception):
    """Over the limit, as sent or decompressed."""


class IncompleteBodyError(Exception):
    """The client went away, or the end of the body cannot be told."""


class BodyTimeoutError(Exception):
    """Not there in time."""


class ReceiveBufferFullError(Exception):
    """As many bytes of bodies as may be are on their way in."""


class RequestBody(Protocol):
    """RSGI's protocol object, as far as a body goes."""

    def __call__(self) -> Awaitable[bytes]: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


class BodyReader:
    """Reads bodies; `expire` is to be called every now and then, and ends those that take too long."""

    def __init__(self, limit: int, timeout_s: float, room: int) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._room = room
        self._coming = 0
        """Bytes that have come of bodies that are not there whole."""
        self._due: dict[asyncio.Task[Any], float] = {}

    async def read(self, body: RequestBody, length: str | None, now: float, *, http2: bool) -> bytes:
        """The bytes as they were received. `length` is Content-Length, `now` the loop's time.

        Raises BodyTooLargeError, before anything is read where the length says so; IncompleteBodyError;
        BodyTimeoutError; ReceiveBufferFullError.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        due = self._due
        due[task] = now + self._timeout_s
        try:
            if length is None:
                received, ends = await self._read_chunks(body)
                whole = http2 or ends < 2
            else:
                size = int(length)
                if size > self._limit:
                    raise BodyTooLargeError
                received = await body() if size <= SMALL_BYTES else (await self._read_chunks(body))[0]
                whole = len(received) == size  # one that is cancelled in HTTP/2 just ends
        except ProtocolClosed:
            raise IncompleteBodyError from None
        except asyncio.CancelledError:
            if task in due:
                raise  # not ours
            task.uncancel()
            raise BodyTimeoutError from None
        finally:
            due.pop(task, None)
        if not whole:
            raise IncompleteBodyError
        return received

    async def discard(self, body: RequestBody) -> None:
        """Read and forget the rest of a body that was answered already, within the same bounds.

        Closing a connection while the client still sends would reset it, and the answer could be lost with it.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._due[task] = asyncio.get_running_loop().time() + self._timeout_s
        room = 4 * self._limit
        try:
            try:
                chunks = aiter(body)
            except ProtocolError:  # its reading was begun
                chunks = cast(AsyncIterator[bytes], body)
            while room >= 0:
                room -= len(await anext(chunks))
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            if task in self._due:
                raise
            task.uncancel()
        finally:
            self._due.pop(task, None)

    def expire(self, now: float) -> None:
        """End the reads that were due before `now`, the loop's time."""
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            task.cancel()

    async def _read_chunks(self, body: RequestBody) -> tuple[bytes, int]:
        """What came, and how many empty chunks the server handed out.

        It hands one out at the end. Where it had to break off, and where trailers follow, it hands out another: such a
        body may be cut short, and so it is refused rather than stored. In HTTP/2 another may also be an empty frame of
        the client's, by which many end a body; who breaks one off there is not waiting for an answer any more.
        """
        chunks: list[bytes] = []
        size, ends = 0, 0
        try:
            async for chunk in body:
                if not chunk:
                    ends += 1
                    continue
                chunks.append(chunk)
                size += len(chunk)
                self._coming += len(chunk)
                if size > self._limit:
                    raise BodyTooLargeError
                if self._coming > self._room:
                    raise ReceiveBufferFullError
        finally:
            self._coming -= size
        return b"".join(chunks), ends


def gunzip(data: bytes, limit: int) -> bytes | None:
    """The decompressed bytes, at most `limit`; None where `data` is no complete gzip, or one of too many members.

    Raises BodyTooLargeError as soon as there is more, so that a small bomb costs no memory.
    """
    out: list[bytes] = []
    size = 0
    try:
        while data and len(out) < MOST_MEMBERS:
            member = zlib.decompressobj(GZIP_WBITS)
            out.append(member.decompress(data, limit - size + 1))
            size += len(out[-1])
            if size > limit:
                raise BodyTooLargeError
            if not member.eof:
                return None
            data = member.unused_data
    except zlib.error:
        return None
    return b"".join(out) if out and not data else None
