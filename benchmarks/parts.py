"""CPU per event of the processor's parts, without Kafka, with the garbage collection thresholds of the processor."""

import gc
import io
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fastavro
import orjson

from benchmarks.cluster import OURS
from benchmarks.payloads import webhook
from benchmarks.result import Result
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import PartitionState
from processor.gc_tuning import raise_gc_thresholds
from processor.pipeline.mapper import Mapper, tree
from processor.pipeline.pipeline import BatchProcessor, build_pipeline
from processor.pipeline.records import Event, RawRecord, identify
from schemas.avro.encoder import encode
from schemas.track_event import load_schema

NOW_MS = 1_764_000_000_000
BATCH = 10_000
WINDOW_MS = 86_400_000


class _AllNew:
    """Deduplication that never saw anything."""

    def find_duplicates(self, records: Any, keys: Any) -> list[int | None]:
        del keys
        return [None] * len(records)


def measure(events: int) -> list[Result]:
    """One run: identification, mapping, encoding (and by fastavro), and the core as a whole."""
    records = _records(events)
    mapper, parsed = Mapper("rudderstack"), fastavro.parse_schema(load_schema())

    def mapped(record: RawRecord) -> list[Any]:
        return mapper.row(record.value or b"", record.timestamp_ms, None, "01HD", "bench")

    def by_fastavro(event: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, event)
        return out.getvalue()

    tracks = [mapped(record) for record in records]
    trees = [tree(track) for track in tracks[: max(1_000, events // 4)]]
    differing = sum(encode(track) != by_fastavro(event) for track, event in zip(tracks[:1_000], trees, strict=False))
    core = BatchProcessor(_AllNew(), build_pipeline("rudderstack", schema_id=1, max_event_bytes=10_000_000))
    outcomes = core(records[:1_000])  # warm
    thresholds = gc.get_threshold()
    raise_gc_thresholds(BATCH)
    try:
        figures = {
            "identify_us": _us(identify, records),
            "parse_json_us": _us(lambda record: orjson.loads(record.value or b""), records),
            "parse_and_map_us": _us(mapped, records),
            "encode_us": _us(encode, tracks),
            "encode_by_fastavro_us": _us(by_fastavro, trees),
            "core_us": _us(core, [records[at : at + BATCH] for at in range(0, events, BATCH)])
            * _batches(events)
            / events,
        }
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    figures["events_share"] = sum(type(outcome) is Event for outcome in outcomes) / len(outcomes)
    figures["differing_from_fastavro"] = differing
    return [Result("parts", OURS, {"events": events}, figures)]


def deduplication(ids: int) -> Result:
    """One run: a partition's state takes so many new ids in, batch by batch, and then finds all of them again."""
    memory = RocksDBResources(128 << 20)
    with tempfile.TemporaryDirectory(prefix="bench-state-") as folder:
        state = PartitionState(Path(folder), WINDOW_MS, memory)
        keys = [
            [b"\5bench\0\0\0\0%024d" % index for index in range(at, min(ids, at + BATCH))]
            for at in range(0, ids, BATCH)
        ]
        new = known = 0.0
        for number, batch in enumerate(keys):
            began = time.process_time()
            state.get(list(batch))
            state.write(dict.fromkeys(batch, (number, NOW_MS)), number + 1, NOW_MS)
            new += time.process_time() - began
        found = 0
        for batch in keys:
            began = time.process_time()
            remembered = state.get(list(batch))
            known += time.process_time() - began
            found += sum(one is not None for one in remembered)
        figures = {
            "new_us_per_id": 1e6 * new / ids,
            "known_us_per_id": 1e6 * known / ids,
            "memory_mib": memory.used_bytes() / 2**20,
            "found": found,
        }
        state.close()
    return Result("deduplication", OURS, {"ids": ids}, figures)


def _records(events: int) -> list[RawRecord]:
    made = []
    for index in range(events):
        sent, at_ms = webhook(index), NOW_MS + index
        headers: Any = sent.headers()
        made.append(RawRecord("raw", index % 4, index // 4, at_ms, (sent.person or "").encode(), sent.body, headers))
    return made


def _us(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    began, count = time.process_time(), 0
    for item in items:
        work(item)
        count += 1
    return 1e6 * (time.process_time() - began) / count


def _batches(events: int) -> int:
    return -(-events // BATCH)
