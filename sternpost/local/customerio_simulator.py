"""A simulated Customer.io: it signs payloads, posts them in order, and follows Customer.io's rules for retries.

https://docs.customer.io/integrations/api/webhooks
"""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sternpost.operations import signed_webhook
from sternpost.operations.signed_webhook import TIMEOUT_S

STALLING = frozenset({400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521})
"""Statuses after which Customer.io waits an hour before the next try, as after a broken connection."""
STALL_S = 3_600.0
GIVE_UP_S = 7 * 86_400.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 600.0


@dataclass
class Report:
    """The results of a feed."""

    sent: int = 0
    """Payloads to send."""
    acknowledged: int = 0
    given_up: int = 0
    tries: int = 0
    stalls: int = 0
    """How often the feed had to wait an hour."""
    answers: Counter[str] = field(default_factory=Counter)
    """Answers by status; `timeout` and `connection` count tries without an answer."""
    latencies_ms: list[float] = field(default_factory=list)
    """Latencies of the acknowledged tries."""

    def add(self, other: "Report") -> None:
        """Add the figures of another feed."""
        for name in ("sent", "acknowledged", "given_up", "tries", "stalls"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.answers += other.answers
        self.latencies_ms += other.latencies_ms

    def percentile_ms(self, share: float) -> float | None:
        """Return the latency in ms that a share (0 to 1) of the acknowledged tries stayed under; None without any."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class WebhookFeed:
    """One reporting webhook: it sends events in order, each after the one before it has been acknowledged."""

    def __init__(
        self,
        url: str,
        write_key: str,
        signing_key: str | None = None,
        *,
        stall_s: float = STALL_S,
        give_up_s: float = GIVE_UP_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare a feed to `url`, the endpoint without the write key.

        `stall_s` and `give_up_s` replace Customer.io's waiting times. Raises ValueError if `url` is not HTTP or HTTPS.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http:// or https:// address: {url!r}")
        connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._path = f"{parts.path or '/v1/webhook'}?{signed_webhook.query(write_key)}"
        self._signing_key = signing_key
        self._stall_s, self._give_up_s, self._sleep = stall_s, give_up_s, sleep
        self.report = Report()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send_all(self, bodies: Iterable[bytes], interval_s: float = 0.0) -> Report:
        """Send each body until it is acknowledged or given up. Start at most one per `interval_s` seconds."""
        due = time.monotonic()
        for body in bodies:
            if interval_s:
                if (early := due - time.monotonic()) > 0:
                    self._sleep(early)
                due += interval_s
            self.send(body)
        return self.report

    def send(self, body: bytes) -> bool:
        """Send one body by Customer.io's rules. Return whether it was acknowledged before it was given up."""
        report, pause, waited = self.report, FIRST_PAUSE_S, 0.0
        report.sent += 1
        while True:
            started = time.perf_counter()
            status = self._try(body)
            report.tries += 1
            report.answers[status] += 1
            if status.startswith("2"):
                report.acknowledged += 1
                report.latencies_ms.append(1_000 * (time.perf_counter() - started))
                return True
            if status == "connection" or (status.isdigit() and int(status) in STALLING):
                report.stalls += 1
                rest = self._stall_s
            else:
                rest, pause = pause, min(2 * pause, LONGEST_PAUSE_S)
            waited += rest
            if waited > self._give_up_s:
                report.given_up += 1
                return False
            self._sleep(rest)

    def _try(self, body: bytes) -> str:
        try:
            self._connection.request("POST", self._path, body, signed_webhook.headers(self._signing_key, body))
            answer = self._connection.getresponse()
            answer.read()
        except TimeoutError:
            self._connection.close()
            return "timeout"
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return "connection"
        return str(answer.status)
