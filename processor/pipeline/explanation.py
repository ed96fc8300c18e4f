"""Explains why a payload becomes its event, or a dead letter.

An explanation is made by experiment: each value in the payload is changed in turn, and the fields of the event that
change come from that value. It can therefore only say what the mapping does. It is slow, and meant for one payload and
a human reader. Of a payload with very many values, the last are changed all at once, and explained as one.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NamedTuple

from processor.pipeline.mapper import Mapper, tree
from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord, RecordIdentity, identify
from schemas.customerio.event_identity import own_event_id
from schemas.customerio.lossless_json import UnrepresentableValue, read_exactly
from schemas.error_codes import ErrorCode, PayloadRejectedError
from schemas.mapping import tables
from schemas.track_event import EventReader, track_json

_MAX_PROBLEMS = 100
_MOST_WORK = 50_000
"""Values of the payload × experiments: an experiment takes time for each value, some 10 µs."""
_FEWEST_EXPERIMENTS = 20

Path = tuple[str | int, ...]


class MappedValue(NamedTuple):
    """A value of the payload that is in the event."""

    source: str
    value: Any
    targets: dict[str, Any]
    """Path in the event → the value there."""


class UnmappedValue(NamedTuple):
    """A value of the payload that is not in the event."""

    source: str
    value: Any
    why: str


class Explanation(NamedTuple):
    """The explanation of one record."""

    payload: Any
    """The body, read exactly; None if it is not JSON."""
    event: dict[str, Any] | None
    """The event in RudderStack's JSON form; None if there are problems."""
    became: list[MappedValue]
    set_by_us: dict[str, Any]
    """Values in the event that do not depend on the payload: path → value."""
    left_out: list[UnmappedValue]
    problems: list[PayloadRejectedError]
    """Everything that keeps the body from becoming an event. The dead letter names the first."""


class _MappingContext(NamedTuple):
    """A mapper, and the record's identity: the values of an event that do not come from the payload."""

    mapper: Mapper
    identity: RecordIdentity

    def event(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Map a payload to an event in RudderStack's JSON form. Raises PayloadRejectedError."""
        identity = self.identity
        event_id = own_event_id(payload) or identity.event_id
        row = self.mapper.row_of(
            payload, identity.received_at_ms, identity.request_timestamp_s, event_id, identity.source
        )
        return track_json(tree(row))


def explain(record: RawRecord, profile: str) -> Explanation:
    """Explain what a record becomes with a profile, and why. Never raises, whatever the record's bytes are."""
    context = _MappingContext(Mapper(profile), identify(record))
    outcome = build_pipeline(profile).outcome(record, context.identity)
    try:
        payload = read_exactly(record.value or b"")
    except PayloadRejectedError:
        payload = None
    if isinstance(outcome, DeadLetter):
        first = PayloadRejectedError(outcome.code, outcome.message, outcome.field, outcome.stage)
        return Explanation(payload, None, [], {}, [], [first, *_further_problems(context, payload, first)])
    return _explanation(context, payload, track_json(EventReader.of_newest()(outcome.value)))


def _further_problems(
    context: _MappingContext, payload: Any, first: PayloadRejectedError
) -> Iterator[PayloadRejectedError]:
    """Yield the problems that appear once the value of the first is removed, and so on."""
    problem = first
    for _ in range(_MAX_PROBLEMS - 1):
        if problem.field is None or problem.code is ErrorCode.MISSING_IDENTITY:
            return
        place = place_of(problem.field)
        payload = _with(payload, place, {} if isinstance(place[-1], int) else None)
        try:
            context.event(payload)
        except PayloadRejectedError as next_problem:
            if next_problem.code is not ErrorCode.MISSING_IDENTITY:  # it may be missing only because we removed it
                yield next_problem
            problem = next_problem
        else:
            return


def _explanation(context: _MappingContext, payload: dict[str, Any], event: dict[str, Any]) -> Explanation:
    mapped = context.event(payload)
    flat = _flat(mapped)
    became: list[MappedValue] = []
    unused: list[tuple[str, Any]] = []
    leaves = list(_leaves(payload))
    one_by_one = max(_FEWEST_EXPERIMENTS, _MOST_WORK // len(leaves))
    for place, value in leaves[:one_by_one]:
        targets = _influenced(context, payload, mapped, place, value)
        if targets:
            became.append(MappedValue(_path_of(place), value, {target: flat[target] for target in targets}))
        else:
            unused.append((_path_of(place), value))
    origins = {target: use.source for use in became for target in use.targets}
    left_out = [UnmappedValue(source, value, _why(context, source, value, origins)) for source, value in unused]
    if further := leaves[one_by_one:]:
        together = f"({len(further)} further values)"
        if targets := _influenced_together(context, payload, mapped, [place for place, _ in further]):
            became.append(MappedValue(together, None, {target: flat[target] for target in targets}))
            origins |= dict.fromkeys(targets, together)
        else:
            left_out.append(UnmappedValue(together, None, "too many to explain each; none is in the event"))
    set_by_us = {target: value for target, value in _flat(event).items() if target not in origins}
    return Explanation(payload, event, became, set_by_us, left_out, [])


def _influenced(
    context: _MappingContext, payload: dict[str, Any], mapped: dict[str, Any], place: Path, value: Any
) -> list[str]:
    """Return the fields of the event that change if the value at this place changes."""
    if value is None or (isinstance(value, str) and (not value or value.isspace()) and _is_identity(place)):
        return []
    for other in _alternatives(value):
        try:
            now = context.event(_with(payload, place, other))
        except PayloadRejectedError:
            continue
        if targets := list(_changed(mapped, now)):
            return targets
    return []


def _influenced_together(
    context: _MappingContext, payload: dict[str, Any], mapped: dict[str, Any], places: list[Path]
) -> list[str]:
    """Return the fields of the event that change if all the values at these places are absent."""
    try:
        now = context.event(_without(payload, set(places)))
    except PayloadRejectedError:  # one of them is needed for there to be an event at all
        return list(_flat(mapped))
    return list(_changed(mapped, now))


def _why(context: _MappingContext, source: str, value: Any, origins: dict[str, str]) -> str:
    generic = re.sub(r"\[\d+\]", "[]", source)
    rows = [
        row
        for row in tables.fields()
        if row.holds_for(context.mapper.profile) and generic in (re.sub(r"\[\d+\]", "[]", s) for s in row.sources)
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
        return "not a readable time, so the time of receipt is used"
    return "not needed: another field comes first"


def _is_identity(place: Path) -> bool:
    return any(_path_of(place) in row.sources for row in tables.fields() if row.type == "identity")


def _alternatives(value: Any) -> Iterator[Any]:
    """Yield different values of the same kind."""
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


_ABSENT = object()
_DESCENDED = {"data", "data.identifiers", "data.recipients"}
"""Objects and lists whose fields are explained one by one; any other is treated as one value."""


def _leaves(payload: Any, place: Path = ()) -> Iterator[tuple[Path, Any]]:
    known = not place or re.sub(r"\[\d+\]$", "", _path_of(place)) in _DESCENDED
    if known and isinstance(payload, dict) and (payload or not place):
        for name, value in payload.items():
            yield from _leaves(value, (*place, name))
    elif known and isinstance(payload, list) and payload:
        for index, value in enumerate(payload):
            yield from _leaves(value, (*place, index))
    else:
        yield place, payload


def _flat(event: Any) -> dict[str, Any]:
    """Return path → value."""
    return dict(_values(event, _ABSENT, ""))


def _changed(event: Any, now: Any) -> Iterator[str]:
    """Yield the paths in the event at which `now` has another value, or none."""
    return (path for path, _ in _values(event, now, ""))


def _values(event: Any, other: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield path and value, without descending into what is equal in the other.

    Headers and integrations are one value each, because their names are data.
    """
    if event == other:
        return
    if not event or path in ("properties.headers", "integrations"):
        yield path, event
    elif isinstance(event, dict):
        fields = other if isinstance(other, dict) else {}
        for name, value in event.items():
            yield from _values(value, fields.get(name, _ABSENT), f"{path}.{name}" if path else name)
    elif isinstance(event, list):
        items = other if isinstance(other, list) else []
        for index, (value, item) in enumerate(zip_longest(event, items[: len(event)], fillvalue=_ABSENT)):
            yield from _values(value, item, f"{path}[{index}]")
    else:
        yield path, event


def _path_of(place: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def place_of(field: str) -> Path:
    """Return the field of a rejection as steps into the payload, without the names of email headers (data)."""
    if field.startswith("data.headers"):
        return ("data", "headers")
    return tuple(int(index) if index else name for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", field))


def _with(tree: Any, place: Path, value: Any) -> Any:
    """Return a copy of the tree with another value at this place."""
    if not place:
        return value
    changed = tree.copy()
    changed[place[0]] = _with(tree[place[0]], place[1:], value)
    return changed


def _without(tree: Any, places: set[Path], place: Path = ()) -> Any:
    """Return a copy of the tree with nothing at these places: null, or an empty object in a list."""
    if place in places:
        return {} if isinstance(place[-1], int) else None
    if isinstance(tree, dict):
        return {name: _without(value, places, (*place, name)) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_without(value, places, (*place, index)) for index, value in enumerate(tree)]
    return tree


def plain(value: Any) -> Any:
    """Return a JSON value for a Decimal, or for a text that cannot be represented: a `default` for `json.dumps`."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, UnrepresentableValue):
        return f"({value.what})"
    raise TypeError(f"{type(value).__name__} is not JSON")
