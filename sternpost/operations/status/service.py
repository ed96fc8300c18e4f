"""What a service reports on its admin port."""

import http
from typing import Any, NamedTuple

import httpx2
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 2.0


class ServiceStatus(NamedTuple):
    """The answer of one service."""

    name: str
    address: str
    reachable: bool
    ready: bool
    reason: str
    """Why it is not ready or not reachable, such as `catching up on partitions …`."""
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


def fetch_status(name: str, host: str, port: int) -> ServiceStatus:
    """Get `/readyz` and `/metrics` from the address that the service listens on. It raises nothing."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (where it listens, not where we do)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        with httpx2.Client(base_url=address, timeout=TIMEOUT_S, trust_env=False) as client:
            readiness, metrics = client.get("/readyz"), client.get("/metrics")
        totals = sum_samples(metrics.text)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return ServiceStatus(name, address, False, False, f"no answer ({str(error) or type(error).__name__})", {})
    except ValueError:  # another program listens there
        return ServiceStatus(name, address, False, False, "no answer (/metrics is not in Prometheus' text format)", {})
    ready = readiness.status_code == http.HTTPStatus.OK
    return ServiceStatus(name, address, True, ready, "" if ready else readiness.text.strip(), totals)


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
