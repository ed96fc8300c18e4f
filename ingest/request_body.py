"""Read a request's body within a size limit and a time limit.

A gzip body (`Content-Encoding: gzip`) is decompressed. One that says gzip but is not is kept as it came, like any other
unreadable body, and becomes a dead letter.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol, cast

from granian._granian import RSGIProtocolClosed as ProtocolClosed
from granian._granian import RSGIProtocolError as ProtocolError

GZIP_WBITS = 31

MOST_MEMBERS = 16
"""The most members of a gzip file. Compressors write one; a megabyte of empty ones would take a second to read.

https://www.rfc-editor.org/rfc/rfc1952#section-2.2
"""

SMALL_BYTES = 16_384
"""Bodies up to this length are not counted while they are received: the limit on connections bounds them."""


class BodyTooLargeError(Exception):
    """The body exceeds the limit, as sent or decompressed."""


class IncompleteBodyError(Exception):
    """The client closed the connection, or the end of the body cannot be told."""


class BodyTimeoutError(Exception):
    """The body did not arrive in time."""


class ReceiveBufferFullError(Exception):
    """The bodies currently being received exceed `ingest.max_in_flight_bytes`."""


class RequestBody(Protocol):
    """The part of RSGI's protocol object that reads a body.

    https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
    """

    def __call__(self) -> Awaitable[bytes]:
        """Return the whole body."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over chunks of the body."""
        ...


class BodyReader:
    """Reads bodies. Call `expire` regularly: it ends reads that take too long."""

    def __init__(self, limit: int, timeout_s: float, max_receiving_bytes: int) -> None:
        """Set the limits: bytes and seconds of a body, and bytes of all bodies being received."""
        self._limit = limit
        self._timeout_s = timeout_s
        self._max_receiving_bytes = max_receiving_bytes
        self._receiving_bytes = 0
        """Bytes received of bodies that are not complete."""
        self._deadlines: dict[asyncio.Task[Any], float] = {}

    async def read(self, body: RequestBody, length: str | None, now: float, *, http2: bool) -> bytes:
        """Return the bytes as they were received. `length` is the Content-Length, `now` the event loop's time.

        Raises BodyTooLargeError (before anything is read if the length says so), IncompleteBodyError,
        BodyTimeoutError and ReceiveBufferFullError.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        deadlines = self._deadlines
        deadlines[task] = now + self._timeout_s
        try:
            if length is None:
                received, ends = await self._read_chunks(body)
                whole = http2 or ends < 2
            else:
                size = int(length)
                if size > self._limit:
                    raise BodyTooLargeError
                received = await body() if size <= SMALL_BYTES else (await self._read_chunks(body))[0]
                whole = len(received) == size  # in HTTP/2 a cancelled body just ends
        except ProtocolClosed:
            raise IncompleteBodyError from None
        except asyncio.CancelledError:
            if task in deadlines:
                raise  # cancelled by someone else
            task.uncancel()
            raise BodyTimeoutError from None
        finally:
            deadlines.pop(task, None)
        if not whole:
            raise IncompleteBodyError
        return received

    async def discard(self, body: RequestBody) -> None:
        """Read and drop the rest of a body that was answered already, within the same time limit.

        Closing a connection while the client still sends resets it, and the client may lose the answer:
        https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._deadlines[task] = asyncio.get_running_loop().time() + self._timeout_s
        remaining = 4 * self._limit
        try:
            try:
                chunks = aiter(body)
            except ProtocolError:  # reading had begun
                chunks = cast(AsyncIterator[bytes], body)
            while remaining >= 0:
                remaining -= len(await anext(chunks))
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            if task in self._deadlines:
                raise
            task.uncancel()
        finally:
            self._deadlines.pop(task, None)

    def expire(self, now: float) -> None:
        """Cancel the reads whose time limit has passed at `now`, the event loop's time."""
        for task in [task for task, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[task]
            task.cancel()

    async def _read_chunks(self, body: RequestBody) -> tuple[bytes, int]:
        """Return the body and the number of empty chunks that the server handed out.

        The server hands one out at the end of a body. It hands out another if the body broke off or trailers follow, so
        a body with two may be truncated and is refused rather than stored. In HTTP/2 a second one may also be an empty
        frame with which the client ends the body, and a client that breaks off does not wait for an answer.
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
                self._receiving_bytes += len(chunk)
                if size > self._limit:
                    raise BodyTooLargeError
                if self._receiving_bytes > self._max_receiving_bytes:
                    raise ReceiveBufferFullError
        finally:
            self._receiving_bytes -= size
        return b"".join(chunks), ends


def gunzip(data: bytes, limit: int) -> bytes | None:
    """Return the decompressed bytes; None if `data` is not a complete gzip file or has too many members.

    Raises BodyTooLargeError at the first byte over `limit`, so that a small bomb costs no memory.
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
