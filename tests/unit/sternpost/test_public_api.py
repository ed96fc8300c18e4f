"""What `from sternpost import …` offers: as documented, light, and the pipeline of every command."""

import dataclasses
import json
import pickle
import re
import runpy
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sternpost
from processor.pipeline.pipeline import record_of
from schemas.track_event import load_schema
from sternpost import DeadLetter, Event, Mapper, Origin, event_schema
from sternpost.local import samples
from sternpost.operations.transform import Transformer
from tests.support.payloads import bodies

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "python-api.md").read_text("utf-8")
NOW_MS = 1_700_000_000_000


def members(name: str) -> set[str]:
    """Return the public names of what is exported."""
    exported = getattr(sternpost, name)
    if not isinstance(exported, type):
        return set()
    if issubclass(exported, tuple):
        return set(exported._fields)  # type: ignore[attr-defined]
    fields = {field.name for field in dataclasses.fields(exported)}  # type: ignore[arg-type]
    return {one for one in fields | set(vars(exported)) if not one.startswith("_")}


def test_the_page_documents_exactly_what_is_exported() -> None:
    sections = re.split(r"^## `(\w+)`$", PAGE, flags=re.MULTILINE)[1:]
    documented = {
        name: set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }
    assert documented == {name: members(name) for name in sternpost.__all__}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'mapper'"):
        sternpost.mapper  # noqa: B018


def said(outcome: Event | DeadLetter) -> dict[str, Any]:
    if isinstance(outcome, Event):
        return {"outcome": "event", "event": outcome.as_json()}
    return {"outcome": "dead_letter", **dataclasses.asdict(outcome)}


@pytest.mark.parametrize("profile", ["rudderstack", "corrected"])
def test_every_kind_of_webhook_becomes_what_transform_prints(profile: Any) -> None:
    mapper, transformer = Mapper(profile), Transformer(profile)
    for payload in samples.one_of_each():
        body = json.dumps(payload).encode()
        printed = transformer.transform(
            record_of(body, received_at_ms=NOW_MS, source="shop", request_timestamp_s=1_699_999_999)
        )
        headers = [("request_timestamp", b"1699999999")]
        outcome = mapper.map(body, received_at_ms=NOW_MS, source="shop", headers=headers)
        assert said(outcome) == json.loads(printed.json)


@given(bodies(), st.sampled_from(["rudderstack", "corrected"]))
def test_any_body_becomes_what_transform_prints(body: bytes, profile: Any) -> None:
    printed = Transformer(profile).transform(record_of(body, received_at_ms=NOW_MS))
    assert said(Mapper(profile).map(body, received_at_ms=NOW_MS)) == json.loads(printed.json)


BODY = b'{"object_type":"email","metric":"opened","data":{"customer_id":"42"}}'


def event(**arguments: Any) -> Event:
    outcome = Mapper().map(BODY, received_at_ms=NOW_MS, **arguments)
    assert isinstance(outcome, Event)
    return outcome


def test_headers_of_a_raw_record_count_before_the_source() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("source", b"shop"), ("event_id", b"e-1"), ("received_at", b"1600000000000"), ("traceparent", trace)]
    made = event(source="other", headers=headers)
    assert made.traceparent == trace.decode()
    record = made.as_record()
    assert (record["context"]["sourceId"], record["messageId"], record["receivedAt"].year) == ("shop", "e-1", 2020)


def test_an_origin_is_in_the_event() -> None:
    assert event(origin=Origin("raw", 1, 2)).as_json()["context"]["origin"] == {
        "topic": "raw",
        "partition": 1,
        "offset": 2,
    }
    assert "origin" not in event().as_json()["context"]


def test_the_value_has_the_schema_id_and_the_record_fits_the_schema() -> None:
    outcome = Mapper(schema_id=7).map(BODY, received_at_ms=NOW_MS)
    assert isinstance(outcome, Event)
    assert outcome.value[:5] == b"\0\0\0\0\x07"
    assert outcome.key == b"42"
    assert event_schema() == load_schema()
    assert fastavro.validate(outcome.as_record(), fastavro.parse_schema(event_schema()))


def test_a_mapper_can_be_pickled_and_compared() -> None:
    mapper = Mapper("corrected", 7)
    assert pickle.loads(pickle.dumps(mapper)) == mapper != Mapper("corrected")
    assert pickle.loads(pickle.dumps(mapper)).map(BODY, received_at_ms=1) == mapper.map(BODY, received_at_ms=1)


def test_an_unknown_profile_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="rudderstack, corrected"):
        Mapper("correct")  # type: ignore[arg-type]


def test_the_example_for_flink() -> None:
    function = runpy.run_path(str(ROOT / "docs/examples/flink_function.py"))["track_event"]
    assert json.loads(function(BODY, NOW_MS, "shop"))["context"]["sourceId"] == "shop"
    assert function(b"{", NOW_MS, "shop") is None
