"""The fuzzer's targets, without the fuzzer: they pass their seeds, and notice a fault."""

import io
import json
import tomllib
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import fastavro
import pytest

from ingest import request_body, sources
from ingest.request_body import BodyReader
from processor.pipeline import records
from processor.pipeline.pipeline import Pipeline
from processor.pipeline.records import Event
from runtime.schema_registry import Registry
from schemas import record_headers, track_event
from schemas.customerio import lossless_json, signature
from schemas.track_event import load_schema
from sternpost.operations.replay.checkpoint import ReplayCheckpoint
from tests.fuzz.__main__ import NAMES


def _module(name: str) -> ModuleType:
    return import_module(f"tests.fuzz.targets.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_target_passes_its_seeds(name: str) -> None:
    for seed in [*_module(name).SEEDS, b""]:
        _module(name).check(seed)


async def _read_without_a_limit(_: BodyReader, body: Any) -> tuple[bytes, int]:
    return b"".join([chunk async for chunk in body]), 1


_outcome = Pipeline.outcome


def _is_a_byte_too_long(pipeline: Pipeline, *arguments: Any) -> Any:
    outcome = _outcome(pipeline, *arguments)
    return Event(outcome.key, outcome.value + b"\0", None) if isinstance(outcome, Event) else outcome


FAULTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "body": (BodyReader, "_read_chunks", _read_without_a_limit),
    "checkpoint": (ReplayCheckpoint, "_end", lambda _, committed: int(committed.metadata or -1)),
    "dead_letters": (_module("dead_letters"), "raw_headers", lambda message: message.headers()),
    "event_schema": (track_event, "bounded", lambda schema: schema),
    "event_value": (
        _module("event_value"),
        "_READ",
        lambda data: fastavro.schemaless_reader(io.BytesIO(data[5:]), load_schema(), None),
    ),
    "gunzip": (request_body, "gunzip", lambda data, _: zlib.decompressobj(31).decompress(data)),
    "json_text": (lossless_json, "read", json.loads),
    "mapping": (Pipeline, "outcome", _is_a_byte_too_long),
    "raw_headers": (record_headers, "read_number", lambda value, _: int(value) if value else None),
    "registry": (Registry, "_ask", lambda _, question: question()),
    "settings_file": (_module("settings_file"), "load", lambda file: tomllib.loads(Path(file).read_text())),
    "signature": (signature, "is_valid", lambda *_: True),
    "write_key": (sources, "extract_write_key", lambda query, _: unquote(query.partition("=")[2]).encode() or None),
}
"""Target → a fault: what is replaced in what, and by what."""


def test_every_target_is_shown_to_notice_a_fault() -> None:
    assert sorted(FAULTS) == NAMES


@pytest.mark.parametrize("name", FAULTS)
def test_a_target_notices_a_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    records._kept_prefix.cache_clear()
    monkeypatch.setattr(*FAULTS[name])
    noticed = 0
    for seed in _module(name).SEEDS:
        try:
            _module(name).check(seed)
        except Exception:
            noticed += 1
    monkeypatch.undo()
    records._kept_prefix.cache_clear()
    assert noticed
