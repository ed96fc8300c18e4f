"""Customer.io, for many people at once: each person's events one after the other, each until it is acknowledged."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.chaos.pipeline import PARTITIONS, Pipeline
from tests.support.kafka import WRITE_KEY
from tests.support.retention import IN_2020_MS

TIMEOUT_S = 4.0
"""After which Customer.io gives a request up."""

RETRY_S = 0.2
BROKEN_SHARE = 0.01
REPEATED_SHARE = 0.03


@dataclass(frozen=True)
class Sent:
    """A body that was acknowledged."""

    event_id: str
    person: str
    number: int
    """Counts the person's events."""
    body: bytes
    broken: bool
    source: str = "chaos"


class Load:
    """Sends `count` events and keeps what was acknowledged. Some are broken, some sent again although acknowledged."""

    def __init__(self, pipeline: Pipeline, seed: int, count: int, rate: int, threads: int = 6) -> None:
        """`rate`: events a second, at most."""
        self._endpoints = pipeline.endpoints
        self._each = count // threads
        self._pause_s = threads / rate
        self._threads = [
            threading.Thread(target=self._send_all, args=(number, random.Random(f"{seed}-{number}")))
            for number in range(threads)
        ]
        self._stop = threading.Event()
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: list[Sent] = []
        self.answers: Counter[int] = Counter()
        """How often each status; 0 is none within TIMEOUT_S."""
        self.repeats = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._enough.set()
            self._stop.set()
        self.join()

    @property
    def retries(self) -> int:
        return self.answers.total() - self.answers[200]

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Until all are acknowledged."""
        for thread in self._threads:
            thread.join()

    def end(self) -> None:
        """Until what was sent is acknowledged; no more is begun."""
        self._enough.set()
        self.join()

    def probe(self, name: str, rng: random.Random) -> set[str]:
        """Sends an event for each of so many new people that every partition has some; gives the ids."""
        connection = _Connection(self._endpoints, 0)
        probes = [event(f"{name}-{number}", f"{name}-{number}", 0, False, rng) for number in range(3 * PARTITIONS)]
        for one in probes:
            self._acknowledge(one, connection)
        connection.close()
        self.acknowledged += probes
        return {one.event_id for one in probes}

    def _send_all(self, thread: int, rng: random.Random) -> None:
        connection = _Connection(self._endpoints, thread)
        people = [f"person-{thread}-{number}" for number in range(50)]
        numbers = dict.fromkeys(people, 0)
        recent: list[Sent] = []
        due = time.monotonic()
        for count in range(self._each):
            if self._enough.wait(max(0.0, due - time.monotonic())):
                break
            due += self._pause_s
            person = rng.choice(people)
            sent = event(f"{thread}-{count}", person, numbers[person], rng.random() < BROKEN_SHARE, rng)
            numbers[person] += 1
            if not self._acknowledge(sent, connection):
                return
            self.acknowledged.append(sent)
            recent = [*recent[-200:], sent]
            if rng.random() < REPEATED_SHARE:
                self._acknowledge(rng.choice(recent), connection)
                self.repeats += 1
        connection.close()

    def _acknowledge(self, sent: Sent, connection: "_Connection") -> bool:
        while not self._stop.is_set():
            status = connection.post(sent.body)
            with self._lock:
                self.answers[status] += 1
            if status == 200:
                return True
            self._stop.wait(RETRY_S)
        return False


class _Connection:
    """To one ingest, and to the next after any answer but 200, as a load balancer would."""

    def __init__(self, endpoints: Sequence[tuple[str, int]], number: int) -> None:
        self._endpoints = endpoints
        self._number = number
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes) -> int:
        """The answer's status; 0 where there is none in time."""
        begun = time.monotonic()
        if self._connection is None:
            address, port = self._endpoints[self._number % len(self._endpoints)]
            self._connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        try:
            self._connection.request("POST", f"/v1/webhook?writeKey={WRITE_KEY}", body)
            answer = self._connection.getresponse()
            answer.read()
            status = answer.status if time.monotonic() - begun < TIMEOUT_S else 0
        except (OSError, http.client.HTTPException):
            status = 0
        if status == 0 or (status != 200 and len(self._endpoints) > 1):
            self.close()
            self._number += 1
        return status

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def event(event_id: str, person: str, number: int, broken: bool, rng: random.Random) -> Sent:
    """A body that Python's own writer would write in another way, so that it shows if it was parsed on its way."""
    body = json.dumps(
        {
            "event_id": event_id,
            "object_type": "email",
            "metric": "opened",
            "timestamp": IN_2020_MS // 1000 + number,
            "data": {
                "customer_id": person,
                "identifiers": {"id": person, "email": f"{person}@example.com", "cio_id": f"cio-{person}"},
                "delivery_id": f"{person}/{number}",
                "campaign_id": 2**53 + 1 + number,
                "trigger_event_id": f"trigger-{number}",
                "headers": {"X-Number": str(number)},
                "proxied": number % 2 == 0,
                "subject": "".join(rng.choices("äöü☃ abcdefgh", k=rng.randint(1, 200))),
            },
        },
        separators=(" , ", ":"),
    ).encode()
    return Sent(event_id, person, number, body[:-1] + b"?" if broken else body, broken)
