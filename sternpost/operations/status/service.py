"""What a service reports on its admin port."""

import http
from collections.abc import Mapping
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from runtime.settings.model import Settings
from sternpost.operations.listening_address import base_url
from sternpost.operations.status.admin_ports import Answer, NoAnswer, get_all


class ServiceStatus(NamedTuple):
    """The answer of one service."""

    name: str
    address: str
    reachable: bool
    ready: bool
    reason: str
    """Why it is not ready or not reachable, such as `catching up on partitions …`."""
    timed_out: bool
    """Whether something may run there that did not answer in time, rather than nothing."""
    totals: dict[str, float]
    """The `sternpost_` metrics by name, added up over their labels; histograms as `…_count` and `…_sum`."""

    def as_json(self) -> dict[str, Any]:
        """Return the answer as JSON for scripts."""
        return {
            "address": self.address,
            "reachable": self.reachable,
            "ready": self.ready,
            "reason": self.reason,
            "metrics": self.totals,
        }


def fetch_statuses(settings: Settings) -> list[ServiceStatus]:
    """Ask ingest and the processor. It raises nothing, and takes at most as long as commands wait for brokers."""
    ingest, processor = settings.ingest, settings.processor
    return _fetch(
        {
            "ingest": base_url(ingest.admin_host, ingest.admin_port),
            "processor": base_url(processor.admin_host, processor.admin_port),
        }
    )


def fetch_status(name: str, host: str, port: int) -> ServiceStatus:
    """Ask one service, at the address that it listens on. It raises nothing, as `fetch_statuses`."""
    [found] = _fetch({name: base_url(host, port)})
    return found


def _fetch(addresses: Mapping[str, str]) -> list[ServiceStatus]:
    answers = get_all(f"{address}{path}" for address in addresses.values() for path in ("/readyz", "/metrics"))
    return [
        _status(name, address, answers[f"{address}/readyz"], answers[f"{address}/metrics"])
        for name, address in addresses.items()
    ]


def _status(name: str, address: str, readiness: Answer, metrics: Answer) -> ServiceStatus:
    if isinstance(readiness, NoAnswer):
        return ServiceStatus(name, address, False, False, readiness.reason, readiness.timed_out, {})
    if isinstance(metrics, NoAnswer):
        return ServiceStatus(name, address, False, False, metrics.reason, metrics.timed_out, {})
    try:
        totals = sum_samples(metrics.text)
    except ValueError:  # another program listens there
        reason = "no answer (/metrics is not in Prometheus' text format)"
        return ServiceStatus(name, address, False, False, reason, False, {})
    ready = readiness.status_code == http.HTTPStatus.OK
    return ServiceStatus(name, address, True, ready, "" if ready else readiness.text.strip(), False, totals)


def sum_samples(exposition: str) -> dict[str, float]:
    """Add up the `sternpost_` samples by name, without buckets and creation times.

    `exposition` is in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/). Raises
    ValueError if it is not.
    """
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name.startswith("sternpost_") and not sample.name.endswith(("_bucket", "_created")):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
