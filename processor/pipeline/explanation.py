"""Why a payload becomes the event that it becomes, or none.

The mapping itself is asked: each value in the payload is changed in turn, and what changes in the event comes from it.
So an explanation cannot say anything else than what the mapping does. It is for one payload and a person, and slow.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from processor.pipeline.dedup_key import RecordIdentity, identify
from processor.pipeline.mapper import Mapper, tree
from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord
from schemas.avro.decoder import EventReader
from schemas.customerio.event_identity import own_event_id
from schemas.customerio.lossless_json import UnrepresentableValue, read_exactly
from schemas.error_codes import ErrorCode, PayloadRejectedError
from schemas.mapping import tables
from schemas.track_event import track_json

_MAX_PROBLEMS = 100

Path = tuple[str | int, ...]


class MappedValue(NamedTuple):
    """A value of the payload that is in the event."""

    source: str
    value: Any
    targets: dict[str, Any]
    """Path in the event → the value there."""


class UnmappedValue(NamedTuple):
    """A value of the payload that is not."""

    source: str
    value: Any
    why: str


class Explanation(NamedTuple):
    payload: Any
    """The body, read exactly; None where it is no JSON."""
    event: dict[str, Any] | None
    """In RudderStack's JSON form; None where there are problems."""
    became: list[MappedValue]
    set_by_us: dict[str, Any]
    """What is in the event whatever the payload holds: path → value."""
    left_out: list[UnmappedValue]
    problems: list[PayloadRejectedError]
    """Everything that keeps the body from being an event: the dead letter names the first."""


class _Asked(NamedTuple):
    """A mapper and the circumstances: what of an event does not come from the payload."""

    mapper: Mapper
    circumstances: RecordIdentity

    def event(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Raises PayloadRejectedError."""
        known = self.circumstances
        event_id = own_event_id(payload) or known.event_id
        row = self.mapper.row_of(payload, known.received_at_ms, known.request_timestamp_s, event_id, known.source)
        return track_json(tree(row))


def explain(record: RawRecord, profile: str) -> Explanation:
    """Say what the record becomes by a profile, and why. Never raises, whatever the record's bytes are."""
    asked = _Asked(Mapper(profile), identify(record))
    outcome = build_pipeline(profile).outcome(record, asked.circumstances)
    try:
        payload = read_exactly(record.value or b"")
    except PayloadRejectedError:
        payload = None
    if isinstance(outcome, DeadLetter):
        first = PayloadRejectedError(outcome.code, outcome.message, outcome.field, outcome.stage)
        return Explanation(payload, None, [], {}, [], [first, *_further_problems(asked, payload, first)])
    return _explanation(asked, payload, track_json(EventReader.of_newest()(outcome.value)))


def _further_problems(asked: _Asked, payload: Any, first: PayloadRejectedError) -> Iterator[PayloadRejectedError]:
    """What else would be wrong, were the first problem's value not there, and so on."""
    problem = first
    for _ in range(_MAX_PROBLEMS - 1):
        if problem.field is None or problem.code is ErrorCode.MISSING_IDENTITY:
            return
        place = place_of(problem.field)
        payload = _with(payload, place, {} if isinstance(place[-1], int) else None)
        try:
            asked.event(payload)
        except PayloadRejectedError as next_problem:
            if next_problem.code is not ErrorCode.MISSING_IDENTITY:  # it may be missing only since we took it away
                yield next_problem
            problem = next_problem
        else:
            return


def _explanation(asked: _Asked, payload: dict[str, Any], event: dict[str, Any]) -> Explanation:
    flat = _flat(asked.event(payload))
    became: list[MappedValue] = []
    unused: list[tuple[str, Any]] = []
    for place, value in _leaves(payload):
        targets = _influenced(asked, payload, flat, place, value)
        if targets:
            became.append(MappedValue(_written(place), value, {target: flat[target] for target in targets}))
        else:
            unused.append((_written(place), value))
    origins = {target: use.source for use in became for target in use.targets}
    left_out = [UnmappedValue(source, value, _why(asked, source, value, origins)) for source, value in unused]
    set_by_us = {target: value for target, value in _flat(event).items() if target not in origins}
    return Explanation(payload, event, became, set_by_us, left_out, [])


def _influenced(asked: _Asked, payload: dict[str, Any], flat: dict[str, Any], place: Path, value: Any) -> list[str]:
    """The fields of the event that hold something else once the value at this place is another one."""
    if value is None or (isinstance(value, str) and (not value or value.isspace()) and _is_identity(place)):
        return []
    for other in _others(value):
        try:
            now = _flat(asked.event(_with(payload, place, other)))
        except PayloadRejectedError:
            continue
        targets = [target for target, held in flat.items() if now.get(target) != held]
        if targets:
            return targets
    return []


def _why(asked: _Asked, source: str, value: Any, origins: dict[str, str]) -> str:
    generic = re.sub(r"\[\d+\]", "[]", source)
    rows = [
        row
        for row in tables.fields()
        if row.holds_for(asked.mapper.profile) and generic in (re.sub(r"\[\d+\]", "[]", s) for s in row.sources)
    ]
    if not rows:
        return "unknown to the mapping; it stays in the raw record"
    if value is None:
        return "null counts as absent"
    if isinstance(value, str) and (not value or value.isspace()):
        return "blank counts as absent"
    for row in rows:
        if row.target in origins:
            return f"not needed: {row.target} comes from {origins[row.target]}"
    if source == "timestamp":
        return "no time that can be read, so the time of receipt stands for it"
    return "not needed: another field comes first"


def _is_identity(place: Path) -> bool:
    return any(_written(place) in row.sources for row in tables.fields() if row.type == "identity")


def _others(value: Any) -> Iterator[Any]:
    """Values of the same kind that are not this one."""
    match value:
        case bool():
            yield not value
        case int() | Decimal():
            yield value - 1 if value > 0 else value + 1
        case "true" | "false":
            yield "false" if value == "true" else "true"
            yield value + "0"
        case str():
            yield value + "0"
            yield value[:-1] or "0"
        case dict():
            yield {"other": ["0"], **value}
            yield {"device_id": "0", **value}
        case list():
            yield [{"device_id": "0"}, *value]


_DESCENDED = {"data", "data.identifiers", "data.recipients"}
"""Objects and lists whose fields are known one by one; any other is one value."""


def _leaves(payload: Any, place: Path = ()) -> Iterator[tuple[Path, Any]]:
    known = not place or re.sub(r"\[\d+\]$", "", _written(place)) in _DESCENDED
    if known and isinstance(payload, dict) and (payload or not place):
        for name, value in payload.items():
            yield from _leaves(value, (*place, name))
    elif known and isinstance(payload, list) and payload:
        for index, value in enumerate(payload):
            yield from _leaves(value, (*place, index))
    else:
        yield place, payload


def _flat(event: Any, place: Path = ()) -> dict[str, Any]:
    """Path → value; headers and integrations, whose names are data, as one value."""
    if isinstance(event, dict) and event and _written(place) not in ("properties.headers", "integrations"):
        return {path: value for name, item in event.items() for path, value in _flat(item, (*place, name)).items()}
    if isinstance(event, list) and event:
        return {path: value for i, item in enumerate(event) for path, value in _flat(item, (*place, i)).items()}
    return {_written(place): event}


def _written(place: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def place_of(field: str) -> Path:
    """A rejection's field as steps into the payload; of email headers, whose names are data, only that far."""
    if field.startswith("data.headers"):
        return ("data", "headers")
    return tuple(int(index) if index else name for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", field))


def _with(tree: Any, place: Path, value: Any) -> Any:
    """The same tree with another value at this place; the tree given stays as it is."""
    if not place:
        return value
    changed = tree.copy()
    changed[place[0]] = _with(tree[place[0]], place[1:], value)
    return changed


def plain(value: Any) -> Any:
    """For JSON: what stands for a number that is no float, or for a text that cannot be carried."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, UnrepresentableValue):
        return f"({value.what})"
    raise TypeError(f"{type(value).__name__} is no JSON")
