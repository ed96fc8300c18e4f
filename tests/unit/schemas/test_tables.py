"""The tables, the Avro schema, the payload's description and the settings agree."""

from collections import Counter
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from runtime.settings.model import Profile
from schemas.mapping import tables
from schemas.track_event import load_schema
from sternpost.local.samples import KINDS
from tests.support.webhook_model import Webhook

AVRO: dict[str, Any] = {
    "text": "string",
    "identity": "string",
    "constant": "string",
    "event": "string",
    "event id": "string",
    "source": "string",
    "topic": "string",
    "partition": "int",
    "offset": "long",
    "whole": "long",
    "boolean": "boolean",
    "time": {"type": "long", "logicalType": "timestamp-millis"},
    "headers": {"type": "map", "values": {"type": "array", "items": "string"}},
    "map of flags": {"type": "map", "values": "boolean"},
}
REQUIRED = {"type", "event", "messageId", "channel", "timestamp", "receivedAt", "integrations"}


def _leaves(record: dict[str, Any], place: str = "") -> dict[str, tuple[Any, bool, str]]:
    """Return path → type, whether null is allowed, and doc, for every field that is not a record."""
    found = {}
    for field in record["fields"]:
        path = f"{place}{field['name']}"
        optional = isinstance(field["type"], list)
        if optional:
            assert field["type"][0] == "null", path
            assert field["default"] is None, path
        of = field["type"][1] if optional else field["type"]
        if isinstance(of, dict) and of["type"] == "array":
            found[path] = ("devices", optional, field["doc"])
            found |= _leaves(of["items"], f"{path}[].")
        elif isinstance(of, dict) and of["type"] == "record":
            assert of["doc"], path
            assert field["doc"], path
            found |= _leaves(of, f"{path}.")
        else:
            found[path] = (of, optional, field["doc"])
    return found


def test_the_avro_schema_has_exactly_the_fields_of_the_catalogue() -> None:
    """A field in fields.csv that is not in the schema needs a new version of it: track_event.v<n+1>.avsc."""
    expected = {}
    for row in tables.fields():
        rows = [other for other in tables.fields() if other.target == row.target]
        doc = " ".join(
            other.meaning
            if len(rows) == 1
            else f"Profile {other.profile}: {other.meaning[0].lower()}{other.meaning[1:]}"
            for other in rows
        )
        of = AVRO["map of flags"] if row.target == "integrations" else AVRO.get(row.type, row.type)
        required = row.target in REQUIRED or row.target.startswith("context.")
        required = required and not row.target.startswith(("context.traits.", "context.origin."))
        expected[row.target] = (of, not required, doc)
    assert _leaves(load_schema()) == expected


def test_the_settings_know_the_same_profiles() -> None:
    assert tuple(Profile) == tables.PROFILES


def test_each_pair_and_each_target_of_a_profile_stand_once() -> None:
    pairs = Counter((row.object_type, row.metric) for row in tables.events())
    assert pairs.most_common(1)[0][1] == 1
    for profile in tables.PROFILES:
        targets = Counter(row.target for row in tables.fields() if row.holds_for(profile))
        assert targets.most_common(1)[0][1] == 1
        assert set(targets) <= {row.target for row in tables.fields()}


def test_every_name_is_of_one_pair_and_of_known_words() -> None:
    assert len({row.event for row in tables.events()}) == len(tables.events())
    assert {row.origin for row in tables.events()} == {"documented", "observed", "ours"}
    assert {row.origin for row in tables.fields()} == {"documented", "observed", "ours"}
    assert {row.profile for row in tables.fields()} == {"both", *tables.PROFILES}


@pytest.mark.parametrize("object_type", KINDS)
def test_everything_that_customerio_describes_has_a_name(object_type: str) -> None:
    for metric in KINDS[object_type]:
        assert tables.event_name(object_type, metric) != tables.UNKNOWN_EVENT


def _described(model: type[BaseModel], place: str = "") -> set[str]:
    """Return the paths of the fields in a model of the payload."""
    paths = set()
    for name, field in model.model_fields.items():
        assert field.description, f"{place}{name}"
        models = [m for m in _parts(field.annotation) if isinstance(m, type) and issubclass(m, BaseModel)]
        paths.add(f"{place}{name}")
        for inner in models:
            paths |= _described(inner, f"{place}{name}{'[]' if name == 'recipients' else ''}.")
    return paths


def _parts(annotation: Any) -> list[Any]:
    return [annotation] + [part for argument in get_args(annotation) for part in _parts(argument)]


def test_the_payload_describes_exactly_what_the_mapping_reads() -> None:
    read = {
        source.replace("[0]", "[]")
        for row in tables.fields()
        for source in row.sources
        if source.partition(".")[0] in Webhook.model_fields
    }
    assert _described(Webhook) == read | {"data", "data.identifiers"}
