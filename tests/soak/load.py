"""Customer.io for hours: each person's events one after the other, each until it is acknowledged."""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Sequence
from typing import Self

import uvloop

from tests.soak.events import PEOPLE, body
from tests.support.kafka import WRITE_KEY

CONNECTIONS = 200
TIMEOUT_S = 4.0
"""After which Customer.io gives a request up."""

RETRY_S = 0.2
REPEATED_SHARE = 0.03
TICK_S = 0.01
MOST_DUE = 100_000
"""Events that wait at most while nothing is acknowledged."""


class Load:
    """Sends `rate` events a second while a `with` block lasts, some again although they were acknowledged."""

    def __init__(self, endpoints: Sequence[tuple[str, int]], rate: int) -> None:
        """`endpoints`: address and port of each ingest; a connection that fails goes to the next, as behind a proxy."""
        self.rate = rate
        self.sent = [0] * PEOPLE
        """How many events of each person were acknowledged."""
        self.retries = self.repeats = 0
        self._endpoints = endpoints
        self._due = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Return once all that was begun is acknowledged."""
        self._stopping = True
        self._thread.join()

    @property
    def acknowledged(self) -> int:
        """How many events were acknowledged, repetitions not counted."""
        return sum(self.sent)

    def burst(self, events: int) -> None:
        """Have so many more events due now."""
        self._due += events

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._count())
            for number in range(CONNECTIONS):
                tasks.create_task(self._send(number))

    async def _count(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while not self._stopping:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            self._due = min(self._due + self.rate * (now - before), MOST_DUE)
            before = now

    async def _send(self, number: int) -> None:
        rng = random.Random(number)
        people = range(number, PEOPLE, CONNECTIONS)
        connection = _Connection(self._endpoints, number)
        recent: deque[bytes] = deque(maxlen=50)
        while not self._stopping:
            if self._due < 1:
                await asyncio.sleep(TICK_S)
                continue
            self._due -= 1
            person = rng.choice(people)
            sent = body(person, self.sent[person])
            await self._acknowledge(connection, sent)
            self.sent[person] += 1
            recent.append(sent)
            if rng.random() < REPEATED_SHARE:
                await self._acknowledge(connection, rng.choice(recent))
                self.repeats += 1
        connection.close()

    async def _acknowledge(self, connection: "_Connection", sent: bytes) -> None:
        while await connection.post(sent) != 200:
            self.retries += 1
            await asyncio.sleep(RETRY_S)


class _Connection:
    """To one of the ingests, made anew whenever it failed."""

    def __init__(self, endpoints: Sequence[tuple[str, int]], number: int) -> None:
        self._endpoints = endpoints
        self._turn = number
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, sent: bytes) -> int:
        """Return the answer's status; 0 if there is none in time."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._streams is None:
                    address, port = self._endpoints[self._turn % len(self._endpoints)]
                    self._streams = await asyncio.open_connection(address, port)
                reader, writer = self._streams
                head = f"POST /v1/webhook?writeKey={WRITE_KEY} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(sent)}"
                writer.write(f"{head}\r\n\r\n".encode() + sent)
                answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                await reader.readexactly(int(answer.partition("content-length:")[2].partition("\r\n")[0]))
        except (OSError, TimeoutError, EOFError, ValueError):
            self.close()
            self._turn += 1
            return 0
        if "connection: close" in answer:
            self.close()
        return int(answer.split(" ", 2)[1])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
