"""Rates and latencies between two looks at the services' metrics."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from runtime import metrics
from sternpost.operations.status.admin_ports import NoAnswer, get_all

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample, and its labels sorted by name."""


class Scrape(NamedTuple):
    """The metrics of all services that answered."""

    samples: Mapping[str, Mapping[Series, float]]
    """By address, then by series: `sternpost_` samples only."""
    silent: Mapping[str, str]
    """Why an address did not answer, by address."""


def scrape(addresses: Sequence[str]) -> Scrape:
    """Get the metrics from each address, such as `http://127.0.0.1:8081/metrics`, at the same time. It raises nothing.

    It takes at most as long as commands wait for brokers.
    """
    samples: dict[str, Mapping[Series, float]] = {}
    silent: dict[str, str] = {}
    for address, answer in get_all(addresses).items():
        if isinstance(answer, NoAnswer):
            silent[address] = answer.reason
        elif not answer.is_success:
            silent[address] = f"it answers {answer.status_code}"
        else:
            try:
                samples[address] = _samples(answer.text)
            except ValueError:  # another program listens there
                silent[address] = "what answers is not in Prometheus' text format"
    return Scrape(samples, silent)


def _samples(exposition: str) -> dict[Series, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name.startswith("sternpost_")
    }


class Increase:
    """What was counted between two scrapes."""

    def __init__(self, before: Scrape, after: Scrape) -> None:
        """Compare two scrapes. A service that has started again counts from 0, and one that is new does not count."""
        self._by_series: dict[Series, float] = defaultdict(float)
        for address, samples in after.samples.items():
            then = before.samples.get(address)
            if then is None:
                continue
            for series, value in samples.items():
                was = then.get(series, 0.0)
                self._by_series[series] += value - was if value >= was else value

    def total(self, name: str) -> float:
        """Return how much a metric increased, over all labels."""
        return sum(value for (of, _), value in self._by_series.items() if of == name)

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Return how much a metric increased by one label's values, without zeros."""
        found: dict[str, float] = defaultdict(float)
        for (of, labels), value in self._by_series.items():
            if of == name and value:
                found[dict(labels).get(label, "")] += value
        return dict(found)

    def quantile(self, histogram: str, share: float) -> float | None:
        """Return a quantile of what a histogram observed; None if it observed nothing.

        It is interpolated within a bucket, as Prometheus does:
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile. Beyond the last bound it is
        that bound.
        """
        buckets: dict[float, float] = defaultdict(float)
        for (of, labels), value in self._by_series.items():
            if of == f"{histogram}_bucket":
                buckets[float(dict(labels)["le"])] += value
        bounds = sorted(buckets)
        if not bounds or buckets[bounds[-1]] <= 0:
            return None
        wanted, lower, below = share * buckets[bounds[-1]], 0.0, 0.0
        for bound in bounds:
            if buckets[bound] >= wanted:
                if bound == float("inf"):
                    return lower
                within = buckets[bound] - below
                return lower + (bound - lower) * ((wanted - below) / within if within else 1.0)
            lower, below = bound, buckets[bound]
        return lower


REQUESTS = metrics.INGEST_REQUESTS.name
ACK_SECONDS = metrics.INGEST_ACK_SECONDS.name
EVENTS = metrics.PROCESSOR_EVENTS.name
DEAD_LETTERS = metrics.PROCESSOR_DEAD_LETTERS.name
DUPLICATES = metrics.PROCESSOR_DUPLICATES.name
