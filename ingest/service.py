"""The ingest service: its worker processes, their event loop, reload and shutdown.

listen ── worker ── Server ── Webhook ── Publisher ── raw topic
             └── every 50 ms: expire what is late, reload what changed, stop when told to
"""

import asyncio
import gc
import signal
import socket
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog
import uvloop

from ingest import tracing
from ingest.connections import Connections
from ingest.graceful_shutdown import accept_queue_length, drain_accept_queue
from ingest.publisher import Publisher, new_producer
from ingest.server import Server, listen
from ingest.silent_connections import SilentConnections
from ingest.webhook import Webhook
from runtime import logs, metrics
from runtime.errors import ConfigurationError, DependencyError
from runtime.kafka.admin import check_topics
from runtime.kafka.config import for_service
from runtime.settings.loader import reload, settings_file
from runtime.settings.model import IngestSettings, Settings
from runtime.supervisor import Supervisor, Worker

log = structlog.get_logger()

TICK_S = 0.05
"""Interval of the housekeeping, and so the precision of deadlines."""

FILE_CHECK_S = 1.0
HEALTH_CHECK_S = 1.0
LIVENESS_TIMEOUT_S = 30.0
CERTIFICATE_WARNING = timedelta(days=14)
STOP_MARGIN_S = 7.0
"""Seconds after drain delay and drain timeout, before a worker is killed: for the producer and tracing to be closed."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code.

    Raises ConfigurationError and DependencyError if the service cannot start.
    """
    settings = for_service(settings, "ingest")
    ingest = settings.ingest
    logs.configure(settings.log, service="ingest")
    _check_sources(settings)
    _check_certificate(ingest)
    new_producer(settings)  # dropped at once: what librdkafka would refuse in each worker, it refuses here
    check_topics(settings, [settings.topics.raw])
    with listen(ingest.host, ingest.port) as listener:
        log.info("listening", host=ingest.host, port=listener.getsockname()[1], tls=ingest.tls_certificate is not None)
        supervisor = Supervisor(
            "ingest",
            partial(run_worker, listener),
            ingest.workers,
            settings,
            stop_timeout_s=(ingest.drain_delay_ms + ingest.drain_timeout_ms) / 1000 + STOP_MARGIN_S,
            liveness_timeout_s=LIVENESS_TIMEOUT_S,
            # Kafka may be away when a crashed worker restarts; the other workers answer 503 meanwhile.
            passing=[DependencyError.exit_code],
        )
        return supervisor.serve(ingest.admin_host, ingest.admin_port)


def run_worker(listener: socket.socket, worker: Worker) -> None:
    """Serve on `listener`, as one process, until the worker is told to stop."""
    uvloop.run(_Service(listener, worker).run())


class _Service:
    def __init__(self, listener: socket.socket, worker: Worker) -> None:
        self._listener = listener
        self._worker = worker
        self._settings = worker.settings
        self._file = settings_file(worker.settings)
        self._file_version = _version(self._file)
        self._reload_now = False
        self._unreadable = False
        """Whether the last read of the file failed for a cause that may pass: no descriptor was left, or no disk."""
        self._stop = asyncio.Event()

    async def run(self) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        self._publisher = publisher = Publisher(settings)
        await publisher.warm_up()
        self._webhook = webhook = Webhook(settings, publisher)
        gc.collect()
        gc.freeze()  # objects made so far live on; collect only those that requests make
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        provider = tracing.make_provider()
        traced = tracing.TracingMiddleware(webhook, provider) if provider else None
        self._connections = Connections(settings.ingest.max_connections, warn=self._worker.index == 0)
        ingest = settings.ingest
        # A request may be under way for the last two of these times, and silent meanwhile.
        silent_ms = ingest.header_timeout_ms + ingest.body_timeout_ms + ingest.produce_deadline_ms
        self._silent = SilentConnections(self._listener, silent_ms / 1000)
        server = Server(traced or webhook, self._listener, settings.ingest, self._connections.limit)
        if self._worker.index == 0 and (expiry := _certificate_expiry(settings.ingest)) is not None:
            metrics.INGEST_CERTIFICATE_EXPIRY.labels().set(expiry.timestamp())
        serving = asyncio.create_task(server.serve())
        readiness = asyncio.create_task(self._report_readiness())
        housekeeping = asyncio.create_task(self._keep_house())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([serving, readiness, housekeeping, stop], return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                raise RuntimeError("the server ended by itself")
            readiness.cancel()
            await self._drain(server, serving)
            if traced:
                await asyncio.to_thread(traced.close)
        finally:
            for task in (readiness, housekeeping, stop):
                task.cancel()

    async def _drain(self, server: Server, serving: "asyncio.Task[None]") -> None:
        """Become not ready, wait, stop accepting, answer every accepted request, and flush the producer."""
        ingest = self._settings.ingest
        self._worker.ready(False, "draining")
        self._webhook.start_draining()
        log.info("draining", delay_ms=ingest.drain_delay_ms)
        await asyncio.sleep(ingest.drain_delay_ms / 1000)
        try:
            async with asyncio.timeout(ingest.drain_timeout_ms / 1000):
                await drain_accept_queue(self._listener)
                server.stop()  # type: ignore[no-untyped-call]
                await serving
        except TimeoutError:
            log.error("drain timed out: connections were cut", timeout_ms=ingest.drain_timeout_ms)  # noqa: TRY400
        await self._publisher.close(ingest.produce_deadline_ms / 1000)
        metrics.flush()
        log.info("drained")

    async def _keep_house(self) -> None:
        loop = asyncio.get_running_loop()
        next_file_check = loop.time() + FILE_CHECK_S
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            self._worker.beat()
            if self._worker.stopping.is_set():
                self._stop.set()
            self._connections.note_queue(accept_queue_length(self._listener))
            self._publisher.expire(now)
            self._publisher.run_maintenance()
            metrics.flush()
            self._webhook.expire_reads(now)
            self._silent.close_some(now)
            if now >= next_file_check or self._reload_now:
                next_file_check = now + FILE_CHECK_S
                version = _version(self._file)
                asked = self._reload_now or version != self._file_version
                if asked or self._unreadable:
                    self._reload_now, self._file_version = False, version
                    self._reload(asked=asked)

    async def _report_readiness(self) -> None:
        while True:
            accepting = self._connections.check(partial(accept_queue_length, self._listener))
            healthy = await self._publisher.check_health()
            self._worker.ready(*(healthy if accepting[0] else accepting))
            await asyncio.sleep(HEALTH_CHECK_S)

    def _reload_soon(self) -> None:
        self._reload_now = True

    def _reload(self, *, asked: bool) -> None:
        """Reload the sources; other settings need a restart. If that fails, the old sources stay in force.

        A file that cannot be read is tried again every second. The failure is logged only if `asked`.
        """
        try:
            settings = reload(self._settings)
            _check_sources(settings)
            self._webhook.replace_sources(settings)
        except Exception as error:  # nothing in a file may end the service
            # Our own messages quote no values; others may.
            reason = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
            self._unreadable = any(isinstance(one, OSError) for one in (error, error.__context__))
            metrics.INGEST_RELOADS.labels("failed").inc()
            if asked:
                log.error("sources not reloaded, the old ones stay in force", error=reason)  # noqa: TRY400
            return
        self._unreadable = False
        metrics.INGEST_RELOADS.labels("ok").inc()
        log.info("sources reloaded", sources=len(settings.sources))


def _check_sources(settings: Settings) -> None:
    if not settings.sources:
        raise ConfigurationError(
            "there are no sources: every webhook would be answered 401. Set STERNPOST_SOURCES or [[sources]] in the "
            'settings file, e.g. STERNPOST_SOURCES=[{"name": "production", "write_keys": ["…"], "signing_keys": ["…"]}]'
        )


def _check_certificate(ingest: IngestSettings) -> None:
    """Check the TLS certificate. Serve an expired one all the same, but log it. Raises ConfigurationError."""
    expiry = _certificate_expiry(ingest)
    if expiry is None or (left := expiry - datetime.now(UTC)) > CERTIFICATE_WARNING:
        return
    if left <= timedelta(0):
        log.error(
            "the TLS certificate has expired: each webhook stalls Customer.io for an hour", expired=expiry.isoformat()
        )
    else:
        log.warning("the TLS certificate ends soon: replace it and restart ingest", ends=expiry.isoformat())


def _certificate_expiry(ingest: IngestSettings) -> datetime | None:
    if ingest.tls_certificate is None or ingest.tls_key is None:
        return None
    from ingest import certificate  # noqa: PLC0415 (it loads a library that takes 0.05 s and only TLS needs)

    return certificate.read_expiry(ingest.tls_certificate, ingest.tls_key)


def _version(file: Path | None) -> tuple[int, int, int] | None:
    """Return values that change when a file is written or replaced; None if there is no file."""
    try:
        stat = file.stat() if file else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ino, stat.st_size) if stat else None
