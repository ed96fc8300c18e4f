"""What a service says of itself on its admin port."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any, NamedTuple

TIMEOUT_S = 2.0


class Service(NamedTuple):
    """One answer; `sternpost_` metrics added up over their labels, or by a label's value."""

    name: str
    address: str
    reachable: bool
    ready: bool
    reason: str
    """Why it is not ready or not reachable; `catching up on partitions …` for one."""
    totals: dict[str, float]
    """By metric's name; histograms by `…_count` and `…_sum`."""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "address": self.address,
            "reachable": self.reachable,
            "ready": self.ready,
            "reason": self.reason,
            "metrics": self.totals,
        }


def ask(name: str, host: str, port: int) -> Service:
    """Asks `/readyz` and `/metrics`. Never raises; a service that does not answer is told apart by `reachable`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (where it listens, not where we do)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        status, reason = _get(f"{address}/readyz")
        _, metrics = _get(f"{address}/metrics")
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        return Service(name, address, False, False, f"no answer ({why})", {})
    ready = status == http.HTTPStatus.OK
    return Service(name, address, True, ready, "" if ready else reason.strip(), totals(metrics.splitlines()))


def totals(exposition: Iterable[str]) -> dict[str, float]:
    """Sums of the samples by name, without buckets and what is not ours."""
    sums: dict[str, float] = {}
    for line in exposition:
        if line.startswith("sternpost_"):
            series, _, value = line.rpartition(" ")
            name = series.partition("{")[0]
            if not name.endswith(("_bucket", "_created")):
                sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 (http:// is written above)
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode("utf-8", "replace")
