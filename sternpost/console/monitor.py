"""Looks at the pipeline all the time, for all tabs, and remembers the last hour."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.errors import SternpostError
from runtime.settings.model import Settings
from sternpost.console.failures import report
from sternpost.operations.doctor.check import Check
from sternpost.operations.doctor.run_checks import run_checks
from sternpost.operations.listening_address import base_url
from sternpost.operations.status import service_metrics
from sternpost.operations.status.service_metrics import Increase, Scrape
from sternpost.operations.status.snapshot import Snapshot, StatusCollector

INTERVAL_S = 5.0
KEPT_S = 3_600
RATE_OVER_S = 60.0
"""Rates and quantiles are over this time: over a few seconds they jump."""
CHECK_INTERVAL_S = 300.0


class Rates(NamedTuple):
    """What the services' metrics say of the last minute; None or empty if they say nothing."""

    answers: dict[str, float]
    """Answers to webhooks a second, by outcome."""
    acknowledged_p50_s: float | None
    acknowledged_p99_s: float | None
    events: float | None
    """Events a second."""
    dead_letters: float | None
    duplicates: float | None


class Point(NamedTuple):
    """One look, for the charts."""

    at_ms: int
    received: float | None
    """Raw records a second."""
    processed: float | None
    lag: int
    lag_seconds: float
    acknowledged_p99_s: float | None


@dataclass
class Monitor:
    """The newest look at everything. It is written in threads, a whole value at a time."""

    settings: Settings
    snapshot: Snapshot | None = None
    problem: SternpostError | None = None
    """Why there is no newer snapshot."""
    rates: Rates | None = None
    scrape: Scrape | None = None
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=int(KEPT_S / INTERVAL_S)))
    checks: list[Check] | None = None
    """What `doctor` says, without what needs changes."""
    checked_at: float = 0.0
    """Unix time of the checks."""
    _check_now: threading.Event = field(default_factory=threading.Event)
    _scrapes: deque[tuple[float, Scrape]] = field(default_factory=deque)

    def start(self) -> None:
        """Look from now on, in threads that end with the process."""
        threading.Thread(target=self._look_for_ever, name="monitor", daemon=True).start()
        threading.Thread(target=self._look_at_metrics_for_ever, name="metrics", daemon=True).start()
        threading.Thread(target=self._check_for_ever, name="doctor", daemon=True).start()

    def check_again(self) -> None:
        """Run doctor's checks now rather than when their time has come."""
        self._check_now.set()

    @property
    def addresses(self) -> list[str]:
        """Where the services' metrics are looked for."""
        if self.settings.console.metrics:
            return self.settings.console.metrics
        return [
            f"{base_url(section.admin_host, section.admin_port)}/metrics"
            for section in (self.settings.ingest, self.settings.processor)
        ]

    def _look_for_ever(self) -> None:
        collector = StatusCollector(self.settings)
        while True:
            started = time.monotonic()
            try:
                snapshot = collector.collect()
            except SternpostError as error:
                self.problem = error.with_traceback(None)  # its frames would keep clients
            except Exception as error:  # the thread must not end: the page would show old figures for ever
                report(error, "looking at the pipeline failed")
            else:
                self.snapshot, self.problem = snapshot, None
                self.points.append(_point(snapshot, self.rates))
            _sleep_from(started)

    def _look_at_metrics_for_ever(self) -> None:
        while True:
            started = time.monotonic()
            try:
                self._look_at_metrics()
            except Exception as error:
                report(error, "looking at the services' metrics failed")
            _sleep_from(started)

    def _look_at_metrics(self) -> None:
        now = time.monotonic()
        found = service_metrics.scrape(self.addresses)
        self._scrapes.append((now, found))
        while now - self._scrapes[0][0] > RATE_OVER_S + INTERVAL_S:
            self._scrapes.popleft()
        before_at, before = self._scrapes[0]
        self.scrape = found
        self.rates = _rates(Increase(before, found), now - before_at) if found.samples and now > before_at else None

    def _check_for_ever(self) -> None:
        while True:
            try:
                self.checks = list(run_checks(self.settings, None, url=self._endpoint(), role=None, send=False))
            except SternpostError as error:
                self.problem = error.with_traceback(None)  # its frames would keep clients
            except Exception as error:
                report(error, "doctor failed")
            self.checked_at = time.time()
            self._check_now.wait(CHECK_INTERVAL_S)
            self._check_now.clear()

    def _endpoint(self) -> str | None:
        """Return the webhook endpoint of this machine; None if ingest does not run here, as far as one can see."""
        ingest = self.settings.ingest
        here = f"{base_url(ingest.admin_host, ingest.admin_port)}/metrics"
        if here not in service_metrics.scrape([here]).samples:
            return None
        return f"{base_url(ingest.host, ingest.port, tls=ingest.tls_certificate is not None)}/v1/webhook"


def _sleep_from(started: float) -> None:
    """Sleep until the next look is due, after one that began at `started` on the monotonic clock."""
    time.sleep(max(0.5, INTERVAL_S - (time.monotonic() - started)))


def _rates(increase: Increase, seconds: float) -> Rates:
    def rate(name: str) -> float:
        return increase.total(name) / seconds

    return Rates(
        {outcome: count / seconds for outcome, count in increase.by_label(service_metrics.REQUESTS, "outcome").items()},
        increase.quantile(service_metrics.ACK_SECONDS, 0.5),
        increase.quantile(service_metrics.ACK_SECONDS, 0.99),
        rate(service_metrics.EVENTS),
        rate(service_metrics.DEAD_LETTERS),
        rate(service_metrics.DUPLICATES),
    )


def _point(snapshot: Snapshot, rates: Rates | None) -> Point:
    throughput = snapshot.throughput
    return Point(
        snapshot.at_ms,
        None if throughput is None else max(0.0, throughput.received),
        None if throughput is None else max(0.0, throughput.processed),
        snapshot.lag,
        snapshot.lag_seconds or 0.0,
        rates.acknowledged_p99_s if rates else None,
    )
