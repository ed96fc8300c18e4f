"""The usual bodies, from JSON into Avro with no event in between.

A body's shape is the keys of its payload, of `data` and of `data.identifiers`, in their order; a null is as good as
absent. Where the values are of the types that the first of its shape had, and name whom or what they are to name, the
shape tells which field of the event comes from where: as the catalogue says, from the first of its sources that is
there. So a function is made for each shape, which hands its values to the writer's function for just these fields.

Any other body (with a blank id, a time in ISO-8601, a device's reason …) has no shortcut, and goes the long way, by
mapper and writer. What a shortcut gives is what the long way would have given.
"""

from collections.abc import Callable
from typing import Any

import orjson

from processor.mapping import READERS, Mapper, recipient_target
from schemas import catalogue
from schemas.avro_writer import Writer
from schemas.catalogue import FieldRow
from schemas.timestamps import MAX_S

MAX_SHAPES = 1_024
"""Shapes that get a function; bodies of yet another have no shortcut."""

MAX_KEYS = 2_000
"""Characters of a shape's keys: what is remembered must not grow with what someone may send."""

Made = tuple[bytes, bytes, int]
"""An event: its userId or else anonymousId, its encoding, and its timestamp."""

_TYPES = {"text": str, "identity": str, "whole": int, "boolean": bool}
"""Of values that need no reader: the writer's function refuses all others."""

_NO_IDENTIFIERS: dict[str, Any] = {}


class Shortcut:
    """From the bodies that a mapper maps to what a writer writes."""

    def __init__(self, mapper: Mapper, writer: Writer) -> None:
        self._corrected = mapper.profile == "corrected"
        self._writer = writer
        self._rows = [
            row
            for row in catalogue.fields()
            if row.holds_for(mapper.profile)
            and row.type not in ("constant", "event", "event id")
            and row.target != "anonymousId"
            and "[" not in row.target
        ]
        self._scope: dict[str, Any] = {
            "names": mapper.names,
            "event_name": catalogue.event_name,
            "first_has_no_reason": _first_has_no_reason,
            **READERS,
        }
        self._functions: dict[tuple[object, ...], Callable[..., Made | None]] = {}

    def __call__(self, body: bytes, received_at_ms: int, request_timestamp_s: int | None, event_id: str) -> Made | None:
        """The event; None where there is no shortcut. Arguments as of `Mapper.fields`. Never raises."""
        try:
            payload = orjson.loads(body)
            data = payload["data"]
            identifiers = data.get("identifiers", _NO_IDENTIFIERS)
            if b"null" in body:
                payload, data, identifiers = _present(payload), _present(data), _present(identifiers)
            sent_ms = recipient_is = None
            if self._corrected:
                if request_timestamp_s is not None and 0 <= request_timestamp_s <= MAX_S:
                    sent_ms = 1000 * request_timestamp_s
                recipient_is = _recipient_target(payload, data)
            shape = (recipient_is, *payload, None, *data, None, *identifiers)
            function = self._functions.get(shape) or self._met(shape, payload, data, identifiers)
            return function(
                *(received_at_ms, sent_ms, event_id), *payload.values(), *data.values(), *identifiers.values()
            )
        except Exception:
            return None

    def _met(self, shape: tuple[Any, ...], *objects: dict[str, Any]) -> Callable[..., Made | None]:
        """The function for a shape that was not met before. Raises where there is none."""
        if len(self._functions) >= MAX_SHAPES or sum(len(key) for members in objects for key in members) > MAX_KEYS:
            raise LookupError
        self._functions[shape] = _nothing  # what goes wrong from here on does so once
        sources: dict[str, tuple[str, Any]] = {}
        parameters = ["received_at_ms", "sent_ms", "event_id"]
        for at, members in zip(("", "data.", "data.identifiers."), objects, strict=True):
            for key, value in members.items():
                v = f"v{len(parameters)}"
                parameters.append(v)
                if "." not in key:  # or it would look like the path of another
                    sources[at + key] = v, value
        sources |= {"when received": ("received_at_ms", 0), "X-CIO-Timestamp": ("sent_ms", 0)}
        lines, targets = self._plan(sources, shape[0])
        scope = {**self._scope, "encode": self._writer.function(tuple(targets))}
        source = "\n    ".join([f"def function({', '.join(parameters)}):", *lines])
        exec(compile(source, "<shortcut>", "exec"), scope)  # noqa: S102 (our own text, and paths of the catalogue)
        function: Callable[..., Made | None] = scope["function"]
        self._functions[shape] = function
        return function

    def _plan(self, sources: dict[str, tuple[str, Any]], recipient_is: str | None) -> tuple[list[str], dict[str, str]]:
        """The function's lines, and which variable each field of the event takes.

        `sources`: path → variable and the first value. Raises LookupError where nothing says whom the event is about.
        """
        targets = {"event": "name", "messageId": "event_id"}
        lines: list[str] = []
        names: list[str] = []
        for row in self._rows:
            source = next((source for source in row.sources if _counts(row, source, recipient_is, sources)), None)
            if source is None:
                continue
            v, value = sources[source]
            targets[row.target] = v
            if row.type == "identity":
                names.append(v)
            if row.type != "time" and type(value) is not _TYPES.get(row.type):
                lines.append(f"{v} = {'text' if row.type == 'identity' else row.type}({v}, {source!r})")
            if row.type == "devices" and "data.failure_message" not in sources:
                lines.append(f"first_has_no_reason({v})")
        key = targets.get("userId")
        if key is None:
            key = targets.get("context.traits.email") or targets["context.traits.cioId"]
            targets["anonymousId"] = key
        if "timestamp" in sources:
            v, _ = sources["timestamp"]
            lines += [f"if type({v}) is not int or not 0 <= {v} <= {MAX_S}: return None", f"{v} *= 1000"]
        kind = f"{targets.get('properties.objectType')}, {targets.get('properties.metric')}"
        lines += [
            *(f"if not {v} or {v}.isspace(): return None" for v in names),
            f"name = names.get(({kind})) or event_name({kind})",
            f"encoded = encode({', '.join(targets.values())}).encode('latin-1')",
            f"return {key}.encode(), encoded, {targets['timestamp']}",
        ]
        return lines, targets


def _present(members: dict[str, Any] | None) -> dict[str, Any]:
    return {} if members is None else {key: value for key, value in members.items() if value is not None}


def _nothing(*_: object) -> None:
    return None


def _counts(row: FieldRow, source: str, recipient_is: str | None, sources: dict[str, Any]) -> bool:
    """Whether the row's field may come from this one of its sources."""
    return source in sources and not (row.condition and source == "data.recipient" and row.target != recipient_is)


def _recipient_target(payload: dict[str, Any], data: dict[str, Any]) -> str | None:
    recipient = data.get("recipient")
    if recipient is None:
        return None
    object_type = payload.get("object_type")
    return recipient_target(recipient, payload.get("object_type_type") if object_type is None else object_type)


def _first_has_no_reason(devices: list[dict[str, Any]]) -> None:
    """Raises where it has one: why the message did not reach the first device becomes the event's reason."""
    if devices and "failure_message" in devices[0]:
        raise LookupError
