"""What is computed of a whole body: whether its signature is valid, and its event id and person.

That takes microseconds, but of a large body up to a fifth of a second, if only the slow parser reads its JSON. Large
bodies are therefore examined in a thread, one at a time, and other requests are answered meanwhile.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ingest.request_body import ReceiveBufferFullError
from ingest.sources import Source
from schemas.customerio import signature
from schemas.customerio.event_identity import Identity, identify

LARGE_BYTES = 65_536
"""Up to this length a body is examined at once; one that Customer.io sends has a few thousand bytes."""


def examine(source: Source, timestamp: str | None, given: str | None, received: bytes, body: bytes) -> Identity | None:
    """Return the identity of a body, or None if the source has signing keys and none of them made the signature.

    The signature may be that of the body as received or as decompressed: a sender's middleware may compress after
    signing, and nobody can sign either form without a signing key. `timestamp` and `given` are the signature's headers.
    """
    if source.signers:
        assert timestamp is not None  # noqa: S101 (checked before the body was read)
        assert given is not None  # noqa: S101
        if not signature.is_valid(source.signers, timestamp, given, received) and (
            body is received or not signature.is_valid(source.signers, timestamp, given, body)
        ):
            return None
    return identify(body)


class LargeBodyExaminer:
    """Examines large bodies in a thread of its own."""

    def __init__(self, max_waiting_bytes: int) -> None:
        """At most so many bytes of bodies wait for their turn."""
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting_bytes = 0
        # One thread: each more would take the interpreter from the event loop for another slice of time.
        self._thread = ThreadPoolExecutor(1, "large-bodies")

    async def examine(
        self, source: Source, timestamp: str | None, given: str | None, received: bytes, body: bytes
    ) -> Identity | None:
        """Return what the function `examine` returns. Raises ReceiveBufferFullError if too many bytes wait already."""
        if self._waiting_bytes + len(body) > self._max_waiting_bytes:
            raise ReceiveBufferFullError
        self._waiting_bytes += len(body)
        try:
            run = asyncio.get_running_loop().run_in_executor
            return await run(self._thread, examine, source, timestamp, given, received, body)
        finally:
            self._waiting_bytes -= len(body)
