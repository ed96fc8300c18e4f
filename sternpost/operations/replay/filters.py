"""Filters that choose records of a range."""

from dataclasses import dataclass
from typing import Any

from processor.pipeline.records import RawRecord
from schemas import record_headers
from schemas.customerio.lossless_json import read
from schemas.error_codes import PayloadRejectedError
from schemas.mapping import tables

_IDS = ("customer_id", "recipient", "email_address")
_IDENTIFIERS = ("id", "email", "cio_id")


@dataclass(frozen=True)
class Filters:
    """Filters on raw records. A record has to pass each of them; an empty filter passes every record."""

    sources: frozenset[str] = frozenset()
    object_types: frozenset[str] = frozenset()
    """In lower case."""
    people: frozenset[str] = frozenset()
    """By any of their identifiers: the record's key, customer id, cio_id, email or recipient."""

    def match(self, record: RawRecord) -> bool:
        """Return whether the record passes. A body that is not JSON has no object type, and no person but its key."""
        if self.sources:
            source = dict(record.headers).get(record_headers.SOURCE) or record_headers.DEFAULT_SOURCE.encode()
            if source.decode("utf-8", "replace") not in self.sources:
                return False
        if not (self.object_types or self.people):
            return True
        try:
            body = read(record.value or b"")
        except PayloadRejectedError:
            body = None
        payload: dict[str, Any] = body if isinstance(body, dict) else {}
        if self.object_types:
            object_type = payload.get("object_type") or payload.get("object_type_type")
            if object_type is None and payload.get("metric") is None and isinstance(payload.get("event_type"), str):
                object_type, _ = tables.legacy_pair(payload["event_type"])
            if not isinstance(object_type, str) or object_type.lower() not in self.object_types:
                return False
        return not self.people or not self.people.isdisjoint(_people(record, payload))

    def as_text(self) -> str:
        """Return a text that is the same for equal filters; it is part of a replay's identity."""
        return repr([sorted(self.sources), sorted(self.object_types), sorted(self.people)])


def _people(record: RawRecord, payload: dict[str, Any]) -> set[str]:
    data = payload.get("data")
    data = data if isinstance(data, dict) else {}
    identifiers = data.get("identifiers")
    identifiers = identifiers if isinstance(identifiers, dict) else {}
    found = [*(data.get(name) for name in _IDS), *(identifiers.get(name) for name in _IDENTIFIERS)]
    key = {record.key.decode("utf-8", "replace")} if record.key else set()
    return key | {str(value) for value in found if isinstance(value, str | int)}
