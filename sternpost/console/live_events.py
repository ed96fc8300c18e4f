"""The newest events in memory, for all tabs: read while someone looks, every one of them, in bounded memory."""

import hashlib
import secrets
import threading
import time
from collections import deque
from typing import Any, NamedTuple

from runtime.errors import DependencyError, KafkaRequestError, SternpostError
from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.console.failures import report
from sternpost.operations.tail import TailedEvent, tail

MOST = 2_000
"""Events that are kept."""
MOST_BYTES = 64 * 1_048_576
"""Their bytes in Kafka: in memory they take several times that."""
RETRY_S = 2.0

_OF_KAFKA = (KafkaRequestError, DependencyError)
"""Problems that end when brokers have the topic again. Those of the registry, which are other types, come with an
event, and so does their end."""

_key = secrets.token_bytes(16)


class LiveEvent(NamedTuple):
    """An event of the list."""

    number: int
    """Counted from 1, in the order in which they were read."""
    tailed: TailedEvent
    name: str
    source: str
    channel: str
    people: frozenset[str]
    """Every identifier of the person in the event."""
    nickname: str
    """The same for all events of one person, as long as this console runs; it says nothing about them."""

    @property
    def event_id(self) -> str:
        """The event id."""
        return str((self.tailed.event or {}).get("messageId", ""))

    @property
    def raw_place(self) -> tuple[int, int] | None:
        """Partition and offset of its webhook."""
        match (self.tailed.event or {}).get("context", {}).get("origin"):
            case {"partition": int(partition), "offset": int(offset)}:
                return partition, offset
        return None


class LiveEvents:
    """Reads the events topic in a thread while there are watchers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._events: deque[LiveEvent] = deque()
        self._bytes = 0
        self._number = 0
        self._watchers = 0
        self._stop: threading.Event | None = None
        self.problem: SternpostError | None = None
        """Why nothing is read now; None if all is well."""
        self.gaps = 0
        """How often reading broke off and began again at the end of the topic."""

    def watch(self) -> None:
        """Begin to read if this is the first watcher. Each has to `leave`."""
        with self._lock:
            self._watchers += 1
            if self._watchers == 1:
                self._events.clear()
                self._bytes = 0
                self.problem = None
                self._stop = threading.Event()
                threading.Thread(target=self._read, args=(self._stop,), name="live events", daemon=True).start()

    def leave(self) -> None:
        """End reading if this was the last watcher."""
        with self._lock:
            self._watchers -= 1
            if self._watchers == 0 and self._stop is not None:
                self._stop.set()

    @property
    def newest(self) -> int:
        """The number of the newest event; 0 if there was none."""
        return self._number

    def since(self, number: int) -> tuple[list[LiveEvent], int]:
        """Return the events after that number, oldest first, and how many in between are no longer kept."""
        with self._lock:
            oldest = self._events[0].number if self._events else self._number + 1
            return [event for event in self._events if event.number > number], max(0, oldest - number - 1)

    def _read(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if type(self.problem) in _OF_KAFKA:
                    range_consumer.topic_partitions(self._settings, self._settings.topics.events)
                    self.problem = None  # the next event may be hours away
                for tailed in tail(self._settings, stop=stop):
                    self.problem = None
                    self._add(tailed)
            except SternpostError as error:
                self.problem = error
                self.gaps += 1
            except Exception as error:  # the thread must not end while someone looks
                report(error, "reading events failed")
                self.gaps += 1
            time.sleep(RETRY_S)

    def _add(self, tailed: TailedEvent) -> None:
        with self._lock:
            self._number += 1
            self._events.append(_summarize(self._number, tailed))
            self._bytes += tailed.size_bytes
            while len(self._events) > MOST or (self._bytes > MOST_BYTES and len(self._events) > 1):
                self._bytes -= self._events.popleft().tailed.size_bytes


def _summarize(number: int, tailed: TailedEvent) -> LiveEvent:
    event = tailed.event or {}
    context, properties = _object(event.get("context")), _object(event.get("properties"))
    traits = _object(context.get("traits"))
    found = [
        event.get("userId"),
        event.get("anonymousId"),
        *traits.values(),
        *(properties.get(name) for name in ("recipient", "customerId", "email", "cioId")),
    ]
    people = [str(value) for value in found if isinstance(value, str | int) and value != ""]
    person = str(event.get("userId") or event.get("anonymousId") or "")
    return LiveEvent(
        number,
        tailed,
        str(event.get("event") or ("" if event else "(not an event)")),
        str(context.get("sourceId") or ""),
        str(properties.get("objectType") or ""),
        frozenset(people),
        hashlib.blake2s(person.encode(), key=_key, digest_size=3).hexdigest() if person else "",
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
