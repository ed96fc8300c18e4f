"""How many connections a worker takes, and whether some wait that it does not accept.

Without a descriptor left, the server would try to accept in an endless loop. So it never opens more connections than
there are descriptors for; the rest wait in the kernel's queue, and while they do, the worker is not ready.
"""

import errno
import os
import resource
import time
from collections.abc import Callable

import structlog

from runtime import metrics
from runtime.errors import ConfigurationError

log = structlog.get_logger()

SPARE_DESCRIPTORS = 32
"""Kept for connections to brokers, the server's own needs and files that are read again."""

WAITING_S = 1.0
"""So long connections must have waited, without a break, to count as not accepted."""

LOG_INTERVAL_S = 60.0
_HINT = "raise the limit of open files (ulimit -n, LimitNOFILE=, --ulimit nofile=) or lower ingest.max_connections"


class Connections:
    """The connections of one worker. To be made once it is connected to Kafka, and before it serves."""

    def __init__(self, most: int, *, warn: bool) -> None:
        """`most` is ingest.max_connections. Raises ConfigurationError if there are no descriptors for any."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._others = _open_descriptors()
        room = files - self._others - SPARE_DESCRIPTORS
        if room < 1:
            raise ConfigurationError(
                f"the limit of open files ({files}) leaves none for connections; raise it (ulimit -n, LimitNOFILE=, "
                f"--ulimit nofile=) to more than {self._others + SPARE_DESCRIPTORS}"
            )
        self.limit = min(most, room)
        """As many are open at most."""
        self._reason = "max_connections" if most <= room else "open_files"
        self._seen_empty = time.monotonic()
        self._logged_at = float("-inf")
        self._blocked = False
        if warn and room < most:
            log.warning(
                "ingest.max_connections does not fit the limit of open files, which counts for each worker",
                max_connections=most,
                open_files=files,
                fits=room,
                hint=_HINT,
            )

    def look(self, waiting: int) -> None:
        """To be called often, with the number of connections that wait to be accepted."""
        if not waiting:
            self._seen_empty = time.monotonic()

    def accepted(self, waiting: Callable[[], int]) -> tuple[bool, str]:
        """Whether new connections are accepted, and if not, why; to be called once a second."""
        reason = self._why_not() if time.monotonic() - self._seen_empty >= WAITING_S else None
        if reason is None:
            if self._blocked:
                log.info("connections are accepted again")
            self._blocked = False
            return True, ""
        metrics.INGEST_ACCEPT_BLOCKED.labels(reason).inc()
        now = time.monotonic()
        if not self._blocked or now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            log.error(
                "connections wait and none is accepted", reason=reason, limit=self.limit, waiting=waiting(), hint=_HINT
            )
        self._blocked = True
        return False, f"connections wait and none is accepted ({reason}: {self.limit})"

    def _why_not(self) -> str | None:
        """None where they are accepted, if too slowly."""
        try:
            open_now = _open_descriptors()
        except OSError as error:
            return "open_files" if error.errno in (errno.EMFILE, errno.ENFILE) else None
        return self._reason if open_now - self._others >= self.limit else None


def _open_descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))
        except FileNotFoundError:
            continue
    return SPARE_DESCRIPTORS
