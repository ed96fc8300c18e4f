"""Every metric, declared once (name, kind, labels, meaning); kept by prometheus_client, summed over processes.

A worker counts in files that are mapped into memory, and the supervising parent reads them: prometheus_client's
multiprocess mode, https://prometheus.github.io/client_python/multiprocess/. When a worker ends, its counters are kept
and its gauges are dropped. Without multiprocess mode, metrics live in the process's memory. A metric is exposed once it
has been used, so each service shows its own.

To add a metric, declare it at the end of this file. Look a series up once (`REQUESTS.labels("production", "ok")`),
keep it, and count on it. docs/metrics.md is generated from the declarations.
"""

import atexit
import bisect
import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from runtime import temporary

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: if it is set before the import, a process counts in files of that folder."""

_PREFIX = "sternpost-metrics-"

_FILES = ("counter", "gauge_livesum", "histogram")
"""How prometheus_client calls the files of a process, before its id."""

_RESERVED_BYTES = 1 << 16
"""The room that is taken for each of them at once. To count is to write into memory that is mapped from the file; if
its disk has no room by then, the kernel ends the process (SIGBUS)."""

Series = TypeVar("Series", Counter, Gauge, Histogram)

_own = CollectorRegistry(auto_describe=False)
_shared_folder: str | None = None


@dataclass(frozen=True)
class Metric(Generic[Series]):
    """A declared metric. Seconds and bytes are the only units, and end the name."""

    name: str
    meaning: str
    label_names: tuple[str, ...]
    kind: type[Series]
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, ascending, without infinity."""

    def labels(self, *values: str) -> Series:
        """Return the series with these label values, in the order of the declaration. Keep it: the lookup is slow."""
        if len(values) != len(self.label_names):
            raise ValueError(f"metric {self.name} has labels {self.label_names}, not {len(values)} of them")
        collector: Series = _collector(self)
        return collector.labels(*values) if values else collector


@cache
def _collector(metric: "Metric[Any]") -> Any:
    options: dict[str, Any] = {}
    if metric.kind is Histogram:
        options["buckets"] = metric.bounds
    elif metric.kind is Gauge:
        options["multiprocess_mode"] = "livesum"
    return metric.kind(metric.name, metric.meaning, metric.label_names, registry=_own, **options)


DECLARED: dict[str, "Metric[Counter] | Metric[Gauge] | Metric[Histogram]"] = {}


def counter(name: str, meaning: str, *labels: str) -> Metric[Counter]:
    """Declare a counter; its name ends in `_total`."""
    return _declare(Metric(name, meaning, labels, Counter))


def gauge(name: str, meaning: str, *labels: str) -> Metric[Gauge]:
    """Declare a gauge; those of several processes are added up."""
    return _declare(Metric(name, meaning, labels, Gauge))


def histogram(name: str, meaning: str, *labels: str, bounds: Sequence[float]) -> Metric[Histogram]:
    """Declare a histogram over `bounds`, ascending."""
    return _declare(Metric(name, meaning, labels, Histogram, tuple(bounds)))


def _declare(metric: Metric[Series]) -> Metric[Series]:
    if metric.name in DECLARED:
        raise ValueError(f"metric {metric.name} is declared twice")
    DECLARED[metric.name] = metric
    return metric


def enable_multiprocess() -> None:
    """Have this process, and those that it starts from now on, count in a folder that they share.

    Call it before this process counts anything. Raises ConfigurationError if no folder can be written to.
    """
    global _shared_folder  # noqa: PLW0603
    temporary.remove_abandoned(_PREFIX)
    _shared_folder = os.environ[FOLDER_VARIABLE] = _folder_with_room()
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]  # it was chosen on import
    atexit.register(remove_shared_folder)
    open_counters()


def _folder_with_room() -> str:
    for make in (temporary.memory_folder, temporary.lasting_folder):
        folder = make(_PREFIX)
        try:
            _reserve(folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            refused = error
        else:
            return folder
    raise temporary.unusable(refused)


def _reserve(folder: str) -> None:
    """Make this process's files, and take room for them. Raises OSError."""
    for name in _FILES:
        with open(os.path.join(folder, f"{name}_{os.getpid()}.db"), "ab") as file:
            if not file.tell():
                file.write(bytes(_RESERVED_BYTES))


def open_counters() -> None:
    """Open this process's file of counters now: later there may be no descriptor left, which must be counted.

    Raises DependencyError if there is no room for this process's files.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is not None:
        try:
            _reserve(folder)
            temporary.hold(folder)
        except OSError as error:
            raise temporary.refused(folder, error) from None
    LOG_LINES_DROPPED.labels()


def remove_shared_folder() -> None:
    """Remove the shared folder when the service ends: the parent does, or a worker whose parent was killed."""
    shutil.rmtree(os.environ[FOLDER_VARIABLE], ignore_errors=True)


def mark_process_dead(pid: int) -> None:
    """Keep the counters of a process that ended, and drop its gauges and the room that it did not use."""
    if _shared_folder is None:
        return
    multiprocess.mark_process_dead(pid, _shared_folder)  # type: ignore[no-untyped-call]
    for name in _FILES:
        file = os.path.join(_shared_folder, f"{name}_{pid}.db")
        with contextlib.suppress(OSError):
            used = Path(file).read_bytes()[:4]
            os.truncate(file, max(8, int.from_bytes(used, sys.byteorder)))


def render() -> bytes:
    """Return all metrics in Prometheus' text format: of the processes that share a folder, or else of this one."""
    if _shared_folder is None:
        return generate_latest(_own)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Summed(_shared_folder))
    return generate_latest(registry)


class _Summed(Collector):
    """Collects the shared files, and adds the meanings, which they do not contain."""

    def __init__(self, folder: str) -> None:
        self._files = multiprocess.MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Family]:
        for family in self._files.collect():  # type: ignore[no-untyped-call]
            declared = DECLARED.get(family.name) or DECLARED.get(f"{family.name}_total")
            if declared is not None:
                family.documentation = declared.meaning
            yield family


class BufferedCounter:
    """Counts in this process until `flush`, at a twentieth of the cost of the counter's series itself."""

    __slots__ = ("_count", "_series")

    def __init__(self, series: Counter) -> None:
        self._series = series
        self._count = 0

    def inc(self) -> None:
        """Count one."""
        self._count += 1

    def flush(self) -> None:
        """Add the count to the series."""
        if self._count:
            self._series.inc(self._count)
            self._count = 0


class BufferedHistogram:
    """Observes in this process until `flush`, like BufferedCounter."""

    __slots__ = ("_bounds", "_counts", "_series", "_sum")

    def __init__(self, series: Histogram, bounds: Sequence[float]) -> None:
        self._series = series
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Take a value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Add the values to the series, by its private parts: there is no public way to observe many at once."""
        if any(self._counts):
            for bucket, count in zip(self._series._buckets, self._counts, strict=True):
                if count:
                    bucket.inc(count)
            self._series._sum.inc(self._sum)
            self._counts = [0] * len(self._counts)
            self._sum = 0.0


_buffers: dict[tuple[str, ...], BufferedCounter | BufferedHistogram] = {}


def buffered_counter(metric: Metric[Counter], *labels: str) -> BufferedCounter:
    """Return the buffer of a counter's series, the same one each time."""
    buffer = _buffers.setdefault((metric.name, *labels), BufferedCounter(metric.labels(*labels)))
    assert isinstance(buffer, BufferedCounter)  # noqa: S101
    return buffer


def buffered_histogram(metric: Metric[Histogram], *labels: str) -> BufferedHistogram:
    """Return the buffer of a histogram's series, the same one each time."""
    buffer = _buffers.setdefault((metric.name, *labels), BufferedHistogram(metric.labels(*labels), metric.bounds))
    assert isinstance(buffer, BufferedHistogram)  # noqa: S101
    return buffer


def flush() -> None:
    """Add what this process has buffered to the series; call it regularly."""
    for buffer in _buffers.values():
        buffer.flush()


_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4)

# Both services
LOG_LINES_DROPPED = counter(
    "sternpost_log_lines_dropped_total",
    "Log lines that could not be written: a full disk, a pipe that nobody reads, a terminal that is gone.",
)
ADMIN_ACCEPT_FAILURES = counter(
    "sternpost_admin_accept_failures_total",
    "Connections that the admin listener could not accept, by the name of the error (`EMFILE`), or `too_many` if "
    "as many as it accepts were open.",
    "error",
)

# Ingest
INGEST_REQUESTS = counter(
    "sternpost_ingest_requests_total",
    "Requests answered. `source` is `-` if no known write key came with it; `outcome` says why it was answered so.",
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
INGEST_IN_FLIGHT_BYTES = gauge(
    "sternpost_ingest_in_flight_bytes", "Bytes of the bodies that wait for the brokers' acknowledgement."
)
INGEST_PRODUCE_ERRORS = counter(
    "sternpost_ingest_produce_errors_total",
    "Bodies that Kafka did not take, by librdkafka's name of the error, or `deadline` if no report came in time; "
    "those of them that were acknowledged after all are counted again, as `late`.",
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
    "Reloads of the sources: `ok`, or `failed` if the old ones stayed in force.",
    "result",
)
INGEST_ACCEPT_BLOCKED = counter(
    "sternpost_ingest_accept_blocked_total",
    "Checks, one a second in each worker, that found connections waiting and none accepted: `max_connections`, or "
    "`open_files` if the limit of open files allows no more.",
    "reason",
)
INGEST_CERTIFICATE_EXPIRY = gauge(
    "sternpost_ingest_certificate_expiry_seconds",
    "When the TLS certificate in use expires, in Unix time; only if the endpoint speaks TLS itself.",
)

# Processor
PROCESSOR_EVENTS = counter("sternpost_processor_events_total", "Events committed to the output topic.")
PROCESSOR_DUPLICATES = counter(
    "sternpost_processor_duplicates_total", "Raw records that were duplicates of an earlier one, and so no event."
)
PROCESSOR_DEAD_LETTERS = counter(
    "sternpost_processor_dead_letters_total",
    "Raw records committed to the dead letters, by their code and source. `default` is the source of records that name "
    "none, and `other` stands for all that were not in this process' settings when it started.",
    "code",
    "source",
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
    "sternpost_processor_restarts_total", "Memberships that were given up and begun again after an error."
)
PROCESSOR_REBALANCES = counter(
    "sternpost_processor_rebalances_total",
    "Changes of the partitions that a worker has: `assigned`, `revoked`, `lost`.",
    "kind",
)
PROCESSOR_LAG = gauge(
    "sternpost_processor_lag_records",
    "Raw records of a partition, up to its last stable offset, that are not processed yet.",
    "partition",
)
PROCESSOR_STATE_BYTES = gauge("sternpost_processor_state_bytes", "Size of the deduplication state on disk.")
PROCESSOR_EXPIRED = counter(
    "sternpost_processor_expired_total", "Raw records that the topic no longer held when they were to be processed."
)
PROCESSOR_HALTS = counter(
    "sternpost_processor_halts_total", "Stops of the processor by itself; the log and the exit code say why."
)
PROCESSOR_CAUGHT_UP = counter(
    "sternpost_processor_caught_up_total", "Raw records read to bring the deduplication state up to date."
)
