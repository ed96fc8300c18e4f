"""The judgement itself: what the three topics hold is compared with what was acknowledged. It reads nothing.

Each raw record must be accounted for once, by its place (partition and offset):

    raw records = events + dead letters + duplicates

An event and a dead letter name their raw record. A raw record is a duplicate if an earlier one of its partition has the
same identity (source, event id and attempt) within the deduplication window; the first one is the one that counts.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.chaos.expected import dead_letter_of, event_of, raw_parts_of
from tests.chaos.load import Sent
from tests.chaos.records import Place, Record, at, place_in, raw_of_dead_letter

Identity = tuple[str, str, str]
"""Source, event id, attempt."""


class Fault(StrEnum):
    """What can be wrong."""

    NOT_IN_RAW = "acknowledged, and not in the raw topic"
    LOST = "in the raw topic, and became nothing"
    DOUBLED = "twice"
    NOT_THE_FIRST = "made of a later raw record than the first"
    UNKNOWN = "made of nothing that was sent"
    OUT_OF_ORDER = "out of a person's order"
    ALTERED = "not whole"
    VANISHED = "seen while things broke, and gone"
    SEEN_WRONG = "seen while things broke, and never to be seen"


@dataclass
class Verdict:
    """The faults found, each in words that begin with what it is about, and how many records there were."""

    faults: dict[Fault, list[str]]
    acknowledged: int
    raw: int = 0
    events: int = 0
    dead_letters: int = 0
    duplicates: int = 0

    @property
    def good(self) -> bool:
        return not any(self.faults.values())

    def __str__(self) -> str:
        counts = (
            f"{self.acknowledged} acknowledged; {self.raw} in raw, {self.events} events, "
            f"{self.dead_letters} dead letters, {self.duplicates} duplicates"
        )
        found = [f"{len(these)} {what} ({'; '.join(these[:5])})" for what, these in self.faults.items() if these]
        return f"{counts}: {', '.join(found) or 'all is well'}"


class Witness:
    """What a reader may see while things break: each event and dead letter once, and a person's events in order."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        """Where it saw each event, by id, and each dead letter, by the place of its raw record."""
        self.faults: list[str] = []
        self._last: dict[str, tuple[int, int]] = {}

    def see_event(self, event_id: str, person: str, number: int, place: Place) -> None:
        """Note an event, the `number`th of a person. The reader itself may come to one place twice."""
        if not self._see(event_id, place):
            return
        last_partition, last_number = self._last.get(person, (place[1], -1))
        if last_partition != place[1] or last_number > number:
            self.faults.append(f"{event_id} at {at(place)} after number {last_number} in {last_partition}")
        self._last[person] = (place[1], number)

    def see_dead_letter(self, raw: Place, place: Place) -> None:
        """Note the dead letter of a raw record."""
        self._see(letter_of(raw), place)

    def vanished(self, there: Mapping[Place, str]) -> list[str]:
        """Return what was seen and is not at its place."""
        return [f"{what} from {at(place)}" for what, place in self.places.items() if there.get(place) != what]

    def _see(self, what: str, place: Place) -> bool:
        before = self.places.setdefault(what, place)
        if before != place:
            self.faults.append(f"{what} at {at(before)} and at {at(place)}")
        return before == place


@dataclass
class _Account:
    """What became of a raw record."""

    record: Record
    sent: Sent | None
    identity: Identity
    first: int | None
    """Offset of the record that it repeats, if it does."""
    outcomes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.identity[1]} of raw {self.record.partition}@{self.record.offset}"


def weigh(
    acknowledged: Iterable[Sent],
    raw: Iterable[Record],
    events: Iterable[tuple[Record, dict[str, Any]]],
    dead_letters: Iterable[Record],
    witness: Witness,
    window_ms: float = math.inf,
    pending: Mapping[int, int] | None = None,
) -> Verdict:
    """Compare the topics, each partition in its order, with what was acknowledged and what the witness saw.

    Events come with their decoded values. `window_ms` is the deduplication window. `pending` is the offset in each
    partition of the raw topic from which on records may still become something; without it none is.
    """
    return _Trial(list(acknowledged), window_ms, pending or {}).verdict(raw, events, dead_letters, witness)


class _Trial:
    def __init__(self, acknowledged: list[Sent], window_ms: float, pending: Mapping[int, int]) -> None:
        self._pending = pending
        self._sent = acknowledged
        self._by_body = {one.body: one for one in acknowledged}
        self._window_ms = window_ms
        self._accounts: dict[Place, _Account] = {}
        self._there: dict[Place, str] = {}
        """What is at each place, in the witness's words."""
        self._faults: dict[Fault, list[str]] = {fault: [] for fault in Fault}

    def verdict(
        self,
        raw: Iterable[Record],
        events: Iterable[tuple[Record, dict[str, Any]]],
        dead_letters: Iterable[Record],
        witness: Witness,
    ) -> Verdict:
        self._read_raw(raw)
        verdict = Verdict(self._faults, len(self._sent), raw=len(self._accounts))
        last: dict[str, tuple[int, int, int]] = {}
        for record, event in events:
            verdict.events += 1
            self._weigh_event(record, event, last)
        for record in dead_letters:
            verdict.dead_letters += 1
            self._weigh_dead_letter(record)
        verdict.duplicates = sum(account.first is not None for account in self._accounts.values())
        self._settle()
        self._faults[Fault.VANISHED] += witness.vanished(self._there)
        self._faults[Fault.SEEN_WRONG] += witness.faults
        return verdict

    def _read_raw(self, raw: Iterable[Record]) -> None:
        """Find what each raw record is, and whether it repeats an earlier one."""
        seen: dict[tuple[int, Identity], tuple[int, int]] = {}
        partitions: dict[Identity, int] = {}
        last: dict[str, tuple[int, int]] = {}
        held: set[str] = set()
        for record in raw:
            sent = self._by_body.get(record.value)
            if sent is None:
                self._blame(Fault.UNKNOWN, at(record.place), "a body that nobody sent")
            else:
                held.add(_name(sent))
                self._compare(f"{sent.event_id} at {at(record.place)}", raw_parts_of(sent), _raw_parts(record))
            identity = _identity(record)
            before, latest_ms = seen.get((record.partition, identity), (None, -math.inf))
            first = before if record.timestamp_ms - latest_ms < self._window_ms else None
            seen[record.partition, identity] = (
                record.offset if first is None else first,
                record.timestamp_ms if first is None else int(max(record.timestamp_ms, latest_ms)),
            )
            account = self._accounts[record.place] = _Account(record, sent, identity, first)
            if partitions.setdefault(identity, record.partition) != record.partition:
                self._blame(Fault.DOUBLED, str(account), f"partition {partitions[identity]} has it as well")
            if sent is not None and not sent.broken and before is None and not record.headers.get("attempt"):
                last_partition, last_number = last.get(sent.person, (record.partition, -1))
                if last_partition != record.partition or last_number >= sent.number:
                    self._blame(Fault.OUT_OF_ORDER, str(account), f"after number {last_number} in {last_partition}")
                last[sent.person] = (record.partition, sent.number)
        self._faults[Fault.NOT_IN_RAW] += [one.event_id for one in self._sent if _name(one) not in held]

    def _weigh_event(self, record: Record, event: dict[str, Any], last: dict[str, tuple[int, int, int]]) -> None:
        event_id = event["messageId"]
        self._there[record.place] = event_id
        account = self._account(f"{event_id} at {at(record.place)}", place_in(event["context"]["origin"] or {}))
        if account is None:
            return
        account.outcomes.append(at(record.place))
        if account.sent is None:
            return
        if account.sent.broken:
            self._blame(Fault.ALTERED, str(account), "an event, although its body makes no sense")
            return
        parts = {"key": record.key, "headers": record.headers, **_flat(event)}
        self._compare(f"{event_id} at {at(record.place)}", event_of(account.sent, account.record), parts)
        here = record.partition, account.record.partition, account.record.offset
        before = last.get(account.sent.person, (*here[:2], -1))
        if before[:2] != here[:2] or before[2] >= here[2]:
            self._blame(
                Fault.OUT_OF_ORDER,
                f"{event_id} at {at(record.place)}",
                "of raw {1}@{2}, after {4}@{5} in {3}".format(*here, *before),
            )
        last[account.sent.person] = here

    def _weigh_dead_letter(self, record: Record) -> None:
        raw = raw_of_dead_letter(record)
        self._there[record.place] = letter_of(raw)
        account = self._account(at(record.place), raw)
        if account is None:
            return
        account.outcomes.append(at(record.place))
        if account.sent is None:
            return
        if not account.sent.broken:
            self._blame(Fault.ALTERED, str(account), "a dead letter, although its body is whole")
            return
        parts: dict[str, Any] = {"key": record.key, "value": record.value, **record.headers}
        for reason in ("error_message", "error_field"):  # for people
            parts.pop(reason, None)
        self._compare(f"{account.sent.event_id} at {at(record.place)}", dead_letter_of(account.record), parts)

    def _account(self, what: str, raw: Place) -> _Account | None:
        account = self._accounts.get(raw)
        if account is None:
            self._blame(Fault.UNKNOWN, what, f"of {at(raw)}, which is not there")
        return account

    def _settle(self) -> None:
        """Have each raw record become what it should: one thing if it is the first, nothing if it is a duplicate."""
        repeats: defaultdict[Place, list[_Account]] = defaultdict(list)
        for account in self._accounts.values():
            if account.first is not None and account.outcomes:
                repeats[account.record.topic, account.record.partition, account.first].append(account)
        for place, account in self._accounts.items():
            if account.first is not None:
                continue
            wrong = [outcome for repeat in repeats[place] for outcome in repeat.outcomes]
            if not account.outcomes and len(wrong) == 1:
                (repeat,) = repeats[place]
                self._blame(Fault.NOT_THE_FIRST, str(account), f"{wrong[0]} is of {at(repeat.record.place)}")
            elif not account.outcomes and not wrong:
                if place[2] < self._pending.get(place[1], math.inf):
                    self._blame(Fault.LOST, str(account), "nothing was made of it")
            elif len(outcomes := account.outcomes + wrong) > 1:
                self._blame(Fault.DOUBLED, str(account), f"became {', '.join(outcomes)}")

    def _compare(self, what: str, expected: dict[str, Any], found: dict[str, Any]) -> None:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if wrong:
            self._blame(Fault.ALTERED, what, ", ".join(wrong))

    def _blame(self, fault: Fault, what: str, why: str) -> None:
        self._faults[fault].append(f"{what}: {why}")


def letter_of(raw: Place) -> str:
    return f"the dead letter of {at(raw)}"


def _raw_parts(record: Record) -> dict[str, Any]:
    return {"key": record.key, **{name: value for name, value in record.headers.items() if name != "attempt"}}


def _identity(record: Record) -> Identity:
    source, event_id, attempt = (record.headers.get(name, b"") for name in ("source", "event_id", "attempt"))
    return source.decode(), event_id.decode(), attempt.decode() or "0"


def _name(sent: Sent) -> str:
    return f"{sent.source} {sent.event_id}"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields that have a value, by their dotted names."""
    return dict(_leaves(tree, prefix))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value
