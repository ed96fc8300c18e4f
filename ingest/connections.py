"""The limit on a worker's open connections, and a check that new ones are accepted.

If no file descriptor were left, the server would try to accept in an endless loop. So it never opens more connections
than there are descriptors for. The rest wait in the kernel's accept queue; while they wait, the worker is not ready.
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
"""Descriptors kept for connections to brokers, for the server itself and for files that are reloaded."""

WAITING_S = 1.0
"""Seconds that the accept queue must have held connections, without a break, to count as blocked."""

LOG_INTERVAL_S = 60.0
_HINT = "raise the limit of open files (ulimit -n, LimitNOFILE=, --ulimit nofile=) or lower ingest.max_connections"


class Connections:
    """The connections of one worker. Make this once the worker is connected to Kafka, and before it serves."""

    def __init__(self, most: int, *, warn: bool) -> None:
        """Derive the limit from `most` (ingest.max_connections) and the limit of open files.

        Raises ConfigurationError if no descriptor is left for connections.
        """
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._others = _open_descriptors()
        room = files - self._others - SPARE_DESCRIPTORS
        if room < 1:
            raise ConfigurationError(
                f"the limit of open files ({files}) leaves none for connections; raise it (ulimit -n, LimitNOFILE=, "
                f"--ulimit nofile=) to more than {self._others + SPARE_DESCRIPTORS}"
            )
        self.limit = min(most, room)
        """The largest number of open connections."""
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

    def note_queue(self, waiting: int) -> None:
        """Take note of the length of the accept queue. Call this often."""
        if not waiting:
            self._seen_empty = time.monotonic()

    def check(self, waiting: Callable[[], int]) -> tuple[bool, str]:
        """Return whether new connections are accepted, and if not, why. Call this once a second."""
        reason = self._blocked_reason() if time.monotonic() - self._seen_empty >= WAITING_S else None
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

    def _blocked_reason(self) -> str | None:
        """Return the limit that blocks connections; None if they are accepted, though slowly."""
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
