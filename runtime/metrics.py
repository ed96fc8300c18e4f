"""Every metric, declared once: name, kind, labels, meaning; and their values, summed over a service's processes.

A worker counts into a memory-mapped file of float64 slots, one file a process, so that counting costs one addition and
nothing is sent anywhere; the supervising parent reads all files. Of a process that ended, the counts stay and the
gauges go. Where nothing is shared, a process counts in its own memory.

Look a series up once (`REQUESTS.labels("production", "ok")`), keep it, and count on it; each series is for one thread.
docs/metrics.md is generated from the declarations at the end of this file.
"""

import atexit
import bisect
import json
import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

FOLDER_VARIABLE = "_STERNPOST_METRICS"
"""Environment variable that leads a parent's workers to the folder where all of them count."""

_SLOTS = 65_536
_WORD = 8  # bytes of a float64

Labels = tuple[str, ...]
Totals = dict[tuple[str, Labels], list[float]]
"""By metric and label values: the values of the slots."""


class _Store:
    """This process's slots, and a line of JSON for each series saying which are its own."""

    def __init__(self, folder: Path | None) -> None:
        self._next = 0
        self.series: list[tuple[str, Labels, int, int]] = []
        if folder is None:
            self._index = None
            memory = mmap.mmap(-1, _SLOTS * _WORD)
        else:
            path = folder / f"{os.getpid()}.values"
            self._index = path.with_suffix(".series").open("w", encoding="utf-8", buffering=1)
            with path.open("w+b") as file:
                file.truncate(_SLOTS * _WORD)
                memory = mmap.mmap(file.fileno(), _SLOTS * _WORD)
        self.slots: memoryview[float] = memoryview(memory).cast("d")

    def take(self, name: str, labels: Labels, width: int) -> int:
        """The first of `width` new slots."""
        slot = self._next
        if slot + width > _SLOTS:
            raise ValueError(f"metric {name}: too many series; a label must have few values")
        self._next += width
        self.series.append((name, labels, slot, width))
        if self._index is not None:
            self._index.write(json.dumps((name, labels, slot, width)) + "\n")
        return slot


_own: _Store | None = None


def _store() -> _Store:
    global _own  # noqa: PLW0603 (one store a process, made when first counted on)
    if _own is None:
        folder = os.environ.get(FOLDER_VARIABLE)
        _own = _Store(Path(folder) if folder else None)
    return _own


class CounterSeries:
    """A number that only grows."""

    __slots__ = ("_slot", "_slots")

    def __init__(self, slots: "memoryview[float]", slot: int, _bounds: Sequence[float]) -> None:
        self._slots, self._slot = slots, slot

    def inc(self, amount: float = 1.0) -> None:
        self._slots[self._slot] += amount

    @property
    def value(self) -> float:
        return float(self._slots[self._slot])


class GaugeSeries:
    """A number that rises and falls; processes' gauges are added up."""

    __slots__ = ("_slot", "_slots")

    def __init__(self, slots: "memoryview[float]", slot: int, _bounds: Sequence[float]) -> None:
        self._slots, self._slot = slots, slot

    def set(self, value: float) -> None:
        self._slots[self._slot] = value

    @property
    def value(self) -> float:
        return float(self._slots[self._slot])


class HistogramSeries:
    """How often a value fell under which bound: slots are one a bound, one above them all, then the sum."""

    __slots__ = ("_bounds", "_slot", "_slots", "_sum")

    def __init__(self, slots: "memoryview[float]", slot: int, bounds: Sequence[float]) -> None:
        self._slots, self._slot, self._bounds, self._sum = slots, slot, bounds, slot + len(bounds) + 1

    def observe(self, value: float) -> None:
        slots = self._slots
        slots[self._slot + bisect.bisect_left(self._bounds, value)] += 1.0
        slots[self._sum] += value

    @property
    def count(self) -> float:
        return float(sum(self._slots[self._slot : self._sum]))


Series = TypeVar("Series", CounterSeries, GaugeSeries, HistogramSeries)


@dataclass(frozen=True)
class Metric(Generic[Series]):
    """A declared metric. Seconds and bytes are the only units, and end the name."""

    name: str
    meaning: str
    label_names: Labels
    kind: type[Series]
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, ascending, without infinity."""

    def labels(self, *values: str) -> Series:
        """The series with these label values, in the order they were declared in. Keep it: this is the slow part."""
        if len(values) != len(self.label_names):
            raise ValueError(f"metric {self.name} has labels {self.label_names}, not {len(values)} of them")
        store = _store()
        for name, labels, slot, _ in store.series:
            if name == self.name and labels == values:
                return self.kind(store.slots, slot, self.bounds)
        return self.kind(store.slots, store.take(self.name, values, self._width), self.bounds)

    @property
    def _width(self) -> int:
        return len(self.bounds) + 2 if self.bounds else 1

    def family(self, series: Mapping[Labels, Sequence[float]]) -> "Family":
        """In prometheus_client's form, for exposition."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
        from prometheus_client.utils import floatToGoString

        if self.bounds:
            histogram = HistogramMetricFamily(self.name, self.meaning, labels=self.label_names)
            for labels, values in series.items():
                total, buckets = 0.0, []
                for bound, count in zip([*map(floatToGoString, self.bounds), "+Inf"], values, strict=False):
                    total += count
                    buckets.append((bound, total))
                histogram.add_metric(labels, buckets, sum_value=values[-1])
            return histogram
        families: dict[type, type[CounterMetricFamily | GaugeMetricFamily]] = {
            CounterSeries: CounterMetricFamily,
            GaugeSeries: GaugeMetricFamily,
        }
        family = families[self.kind](self.name, self.meaning, labels=self.label_names)
        for labels, values in series.items():
            family.add_metric(labels, values[0])
        return family


DECLARED: dict[str, Metric[CounterSeries] | Metric[GaugeSeries] | Metric[HistogramSeries]] = {}


def counter(name: str, meaning: str, *labels: str) -> Metric[CounterSeries]:
    """Declare a counter; its name ends in `_total`."""
    return _declare(Metric(name, meaning, labels, CounterSeries))


def gauge(name: str, meaning: str, *labels: str) -> Metric[GaugeSeries]:
    """Declare a gauge."""
    return _declare(Metric(name, meaning, labels, GaugeSeries))


def histogram(name: str, meaning: str, *labels: str, bounds: Sequence[float]) -> Metric[HistogramSeries]:
    """Declare a histogram over `bounds`, ascending."""
    return _declare(Metric(name, meaning, labels, HistogramSeries, tuple(bounds)))


def _declare(metric: Metric[Series]) -> Metric[Series]:
    if metric.name in DECLARED:
        raise ValueError(f"metric {metric.name} is declared twice")
    DECLARED[metric.name] = metric
    return metric


def share_between_processes() -> None:
    """Have this process, and those it starts from now on, count where this one can add them up."""
    global _shared  # noqa: PLW0603
    folder = tempfile.mkdtemp(prefix="sternpost-metrics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[FOLDER_VARIABLE] = folder
    _shared = _Shared(Path(folder))


def forget_process(pid: int) -> None:
    """Keep the counts of a process that ended, and drop its gauges."""
    if _shared is not None:
        _shared.fold(pid)


class _Shared:
    """The reading side: adds up what the processes have counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended: Totals = {}
        self._lock = threading.Lock()  # the admin listener renders in a thread of its own

    def fold(self, pid: int) -> None:
        path = self._folder / f"{pid}.values"
        with self._lock:
            if path.exists():
                for key, values in _read(path):
                    if not issubclass(DECLARED[key[0]].kind, GaugeSeries):
                        _add(self._ended, key, values)
                path.unlink()
                path.with_suffix(".series").unlink()

    def totals(self) -> Totals:
        with self._lock:
            totals = {key: list(values) for key, values in self._ended.items()}
            for path in self._folder.glob("*.values"):
                for key, values in _read(path):
                    _add(totals, key, values)
        return totals


_shared: _Shared | None = None


def render() -> bytes:
    """All metrics in Prometheus' text format: of this process and those it shares with."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    totals = _shared.totals() if _shared else _own_totals()

    class Summed(Collector):
        def collect(self) -> Iterator["Family"]:
            for metric in DECLARED.values():
                series = {labels: values for (name, labels), values in totals.items() if name == metric.name}
                if series:
                    yield metric.family(series)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Summed())
    return generate_latest(registry)


def _own_totals() -> Totals:
    store = _store()
    return {(name, labels): list(store.slots[slot : slot + width]) for name, labels, slot, width in store.series}


def _read(path: Path) -> Iterator[tuple[tuple[str, Labels], list[float]]]:
    slots: memoryview[float] = memoryview(path.read_bytes()).cast("d")
    for line in path.with_suffix(".series").read_text(encoding="utf-8").splitlines():
        name, labels, slot, width = json.loads(line)
        yield (name, tuple(labels)), list(slots[slot : slot + width])


def _add(totals: Totals, key: tuple[str, Labels], values: Sequence[float]) -> None:
    into = totals.setdefault(key, [0.0] * len(values))
    for i, value in enumerate(values):
        into[i] += value


_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4)

# Ingest
INGEST_REQUESTS = counter(
    "sternpost_ingest_requests_total",
    "Requests answered. `source` is `-` where no known write key came with it; `outcome` says why it was answered so.",
    "source",
    "outcome",
)
INGEST_ACK_SECONDS = histogram(
    "sternpost_ingest_ack_seconds",
    "From handing a body to the producer to the brokers' acknowledgement.",
    bounds=_LATENCY_SECONDS,
)
INGEST_BODY_BYTES = histogram(
    "sternpost_ingest_body_bytes",
    "Size of the bodies that were read whole, after decompression.",
    bounds=(256, 512, 1024, 2048, 4096, 16_384, 65_536, 262_144, 1_048_576),
)
INGEST_IN_FLIGHT = gauge("sternpost_ingest_in_flight", "Bodies that wait for the brokers' acknowledgement.")
INGEST_IN_FLIGHT_BYTES = gauge("sternpost_ingest_in_flight_bytes", "Their bytes.")
INGEST_PRODUCE_ERRORS = counter(
    "sternpost_ingest_produce_errors_total",
    "Bodies that Kafka did not take, by librdkafka's name of the error; `late` came after their 503 had been sent.",
    "error",
)
INGEST_SIGNATURE_FAILURES = counter(
    "sternpost_ingest_signature_failures_total",
    "Requests with a known write key that failed the signature check: `missing`, `malformed`, `mismatch`, `expired`.",
    "source",
    "reason",
)
INGEST_RELOADS = counter(
    "sternpost_ingest_reloads_total",
    "Reloads of the sources: `ok`, or `failed` where the old ones stayed in force.",
    "result",
)

# Processor
PROCESSOR_EVENTS = counter("sternpost_processor_events_total", "Events committed to the output topic.")
PROCESSOR_DUPLICATES = counter(
    "sternpost_processor_duplicates_total", "Raw records that were duplicates of an earlier one, and so no event."
)
PROCESSOR_DEAD_LETTERS = counter(
    "sternpost_processor_dead_letters_total", "Raw records committed to the dead letters, by their code.", "code"
)
PROCESSOR_TRANSACTION_SECONDS = histogram(
    "sternpost_processor_transaction_seconds",
    "From the last record written to the end of the commit.",
    bounds=_LATENCY_SECONDS,
)
PROCESSOR_TRANSACTION_RECORDS = histogram(
    "sternpost_processor_transaction_records",
    "Raw records in a committed transaction.",
    bounds=(1, 10, 100, 1_000, 2_500, 5_000, 10_000),
)
PROCESSOR_ABORTS = counter(
    "sternpost_processor_aborts_total", "Transactions aborted, by librdkafka's name of the cause.", "cause"
)
PROCESSOR_RESTARTS = counter(
    "sternpost_processor_restarts_total", "Memberships that were given up and begun anew after an error."
)
PROCESSOR_REBALANCES = counter(
    "sternpost_processor_rebalances_total",
    "Changes of the partitions that a worker has: `assigned`, `revoked`, `lost`.",
    "kind",
)
PROCESSOR_LAG = gauge(
    "sternpost_processor_lag_records", "Raw records up to the last stable offset that are not processed yet."
)
PROCESSOR_CAUGHT_UP = counter(
    "sternpost_processor_caught_up_total", "Raw records read to bring the deduplication state up to date."
)
