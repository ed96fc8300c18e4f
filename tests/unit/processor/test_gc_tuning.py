"""Records make no reference cycles, so the garbage collector may rest."""

import gc
import json
import time
import weakref
from collections.abc import Iterator

import pytest

from processor.gc_tuning import COLLECT_EVERY_S, OBJECTS_PER_RECORD, RareCollection, raise_gc_thresholds
from processor.pipeline.pipeline import BatchProcessor, Pipeline, build_pipeline
from processor.pipeline.records import DeadLetter, Event, RawRecord
from schemas.avro.encoder import encode
from sternpost.local import samples
from tests.support.raw_records import raw
from tests.unit.processor.test_batch_processor import Known

HOSTILE = [b"", b"\xff", b"{", b"[]", b"null", b"[" * 5_000, b'{"data": 5}', b'{"data": {"customer_id": "\\ud800"}}']


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Collect only when a test asks for it."""
    thresholds = gc.get_threshold()
    gc.disable()
    yield
    gc.enable()
    gc.set_threshold(*thresholds)


def records() -> list[RawRecord]:
    bodies = [json.dumps(payload).encode() for payload in samples.one_of_each()]
    odd = [body.replace(b'"data"', b'"date"') for body in bodies] + [body[:-9] for body in bodies]
    nulls = [json.dumps({**payload, "metric": None}).encode() for payload in samples.one_of_each()]
    return [raw(offset, body) for offset, body in enumerate([*bodies, *odd, *nulls, *HOSTILE])]


@pytest.mark.usefixtures("uncollected")
def test_records_make_no_cycles() -> None:
    """Or what they leave would stay in memory for long."""
    core = BatchProcessor(Known(), build_pipeline("rudderstack"))
    kinds = {type(outcome) for outcome in core(records())}  # makes functions, once
    assert kinds == {Event, DeadLetter}
    gc.collect()
    core(records())
    assert gc.collect() == 0


@pytest.mark.usefixtures("uncollected")
def test_a_fault_of_ours_makes_no_cycle() -> None:
    class Faulty:
        def row(self, *_: object) -> list[object]:
            raise KeyError

    core = BatchProcessor(Known(), Pipeline(Faulty(), encode, 7, None))
    core(records())
    gc.collect()
    core(records())
    assert gc.collect() == 0


@pytest.mark.usefixtures("uncollected")
def test_cycles_are_looked_for_once_far_more_is_alive_than_two_batches() -> None:
    looked = []
    gc.callbacks.append(looked_for := lambda phase, _: looked.append(phase))
    try:
        raise_gc_thresholds(1_000)
        looked.clear()
        gc.enable()
        two_batches = [[[offset] for _ in range(OBJECTS_PER_RECORD // 4)] for offset in range(2_000)]
        assert not looked
        two_batches += [[[offset] for _ in range(OBJECTS_PER_RECORD)] for offset in range(2_000)]
        assert looked
    finally:
        gc.callbacks.remove(looked_for)


@pytest.mark.usefixtures("uncollected")
def test_other_cycles_are_collected_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    collection, cycle = RareCollection(), weakref.ref(Node())
    now += COLLECT_EVERY_S
    collection.collect_if_due()
    assert cycle() is not None
    now += 1
    collection.collect_if_due()
    assert cycle() is None
    later = weakref.ref(Node())
    collection.collect_if_due()
    assert later() is not None
