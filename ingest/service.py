"""The ingest service put together: processes, their event loop, and how they end.

listen ── worker ── Server ── Webhook ── Publisher ── raw topic
             └── every 50 ms: expire what is due, reload what changed, end when told to
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

from ingest import certificate, tracing
from ingest.connections import Connections
from ingest.publisher import Publisher, new_producer
from ingest.server import Server, listen
from ingest.webhook import Webhook
from runtime import logs, metrics
from runtime.errors import ConfigurationError, DependencyError
from runtime.kafka.admin import check_topics
from runtime.kafka.config import for_service
from runtime.settings.loader import reload, settings_file
from runtime.settings.model import IngestSettings, Settings
from runtime.supervisor import Worker, supervise

log = structlog.get_logger()

TICK_S = 0.05
"""How exact deadlines are."""

FILE_CHECK_S = 1.0
HEALTH_CHECK_S = 1.0
LIVENESS_TIMEOUT_S = 30.0
CERTIFICATE_WARNING = timedelta(days=14)
STOP_MARGIN_S = 5.0
"""Beyond drain delay and drain time-out, before a worker is killed."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit code.

    Raises ConfigurationError and DependencyError where the service cannot begin.
    """
    settings = for_service(settings, "ingest")
    ingest = settings.ingest
    logs.configure(settings.log, service="ingest")
    _check_sources(settings)
    _check_certificate(ingest)
    new_producer(settings)  # let go at once: librdkafka refuses here what it would refuse in each worker
    check_topics(settings, [settings.topics.raw])
    with listen(ingest.host, ingest.port) as listener:
        log.info("listening", host=ingest.host, port=listener.getsockname()[1], tls=ingest.tls_certificate is not None)
        return supervise(
            "ingest",
            partial(run_worker, listener),
            ingest.workers,
            settings,
            admin=(ingest.admin_host, ingest.admin_port),
            stop_timeout_s=(ingest.drain_delay_ms + ingest.drain_timeout_ms) / 1000 + STOP_MARGIN_S,
            liveness_timeout_s=LIVENESS_TIMEOUT_S,
            # Kafka may be away when a worker that crashed begins anew: others go on answering 503 meanwhile.
            passing=[DependencyError.exit_code],
        )


def run_worker(listener: socket.socket, worker: Worker) -> None:
    """One process: serve on `listener` until the worker is to stop."""
    uvloop.run(_Service(listener, worker).run())


class _Service:
    def __init__(self, listener: socket.socket, worker: Worker) -> None:
        self._listener = listener
        self._worker = worker
        self._settings = worker.settings
        self._file = settings_file(worker.settings)
        self._file_state = _state(self._file)
        self._reload_now = False
        self._unreadable = False
        """Whether the file could not be read, which may pass: no descriptor was left, or its disk was away."""
        self._stop = asyncio.Event()

    async def run(self) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        self._publisher = publisher = Publisher(settings)
        await publisher.warm_up()
        self._webhook = webhook = Webhook(settings, publisher)
        gc.collect()
        gc.freeze()  # what is here now stays; only what requests make is worth collecting
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        spans = tracing.provider()
        traced = tracing.TracingMiddleware(webhook, spans) if spans else None
        self._connections = Connections(settings.ingest.max_connections, warn=self._worker.index == 0)
        self._server = server = Server(traced or webhook, self._listener, settings.ingest, self._connections.limit)
        if self._worker.index == 0 and (ends := _certificate_ends(settings.ingest)) is not None:
            metrics.INGEST_CERTIFICATE_EXPIRY.labels().set(ends.timestamp())
        serving = asyncio.create_task(server.serve())
        health = asyncio.create_task(self._tell_health())
        tending = asyncio.create_task(self._tend())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([serving, health, tending, stop], return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                raise RuntimeError("the server ended by itself")
            health.cancel()
            await self._drain(server, serving)
            if traced:
                await asyncio.to_thread(traced.close)
        finally:
            for task in (health, tending, stop):
                task.cancel()

    async def _drain(self, server: Server, serving: "asyncio.Task[None]") -> None:
        """Not ready; wait; stop accepting; every accepted request gets its answer; flush."""
        ingest = self._settings.ingest
        self._worker.ready(False, "draining")
        self._webhook.draining = True
        log.info("draining", delay_ms=ingest.drain_delay_ms)
        await asyncio.sleep(ingest.drain_delay_ms / 1000)
        try:
            async with asyncio.timeout(ingest.drain_timeout_ms / 1000):
                await server.accept_the_last()
                server.stop()  # type: ignore[no-untyped-call]
                await serving
        except TimeoutError:
            log.error("drain timed out: connections were cut", timeout_ms=ingest.drain_timeout_ms)  # noqa: TRY400
        await self._publisher.close(ingest.produce_deadline_ms / 1000)
        metrics.flush()
        log.info("drained")

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + FILE_CHECK_S
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            self._worker.beat()
            if self._worker.stopping.is_set():
                self._stop.set()
            self._connections.look(self._server.queued())
            self._publisher.expire(now)
            self._publisher.tend()
            metrics.flush()
            self._webhook.reader.expire(now)
            if now >= look_at or self._reload_now:
                look_at = now + FILE_CHECK_S
                state = _state(self._file)
                asked = self._reload_now or state != self._file_state
                if asked or self._unreadable:
                    self._reload_now, self._file_state = False, state
                    self._reload(asked=asked)

    async def _tell_health(self) -> None:
        while True:
            accepted = self._connections.accepted(self._server.queued)
            healthy = await self._publisher.healthy()
            self._worker.ready(*(healthy if accepted[0] else accepted))
            await asyncio.sleep(HEALTH_CHECK_S)

    def _reload_soon(self) -> None:
        self._reload_now = True

    def _reload(self, *, asked: bool) -> None:
        """Take the sources anew; all else needs a restart. What cannot be read leaves the old ones in force.

        A file that cannot be read is tried again until it can, and that is logged if it was asked for.
        """
        try:
            settings = reload(self._settings)
            _check_sources(settings)
            self._webhook.sources = self._webhook.load_sources(settings)
        except Exception as error:  # whatever is in a file must not end the service
            # Messages of our own quote no values; others might.
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
    """Raises ConfigurationError where it cannot be served. One that nobody takes any more is said, and served."""
    ends = _certificate_ends(ingest)
    if ends is None or (left := ends - datetime.now(UTC)) > CERTIFICATE_WARNING:
        return
    if left <= timedelta(0):
        log.error("the TLS certificate has expired: to every webhook that is an hour's wait", expired=ends.isoformat())
    else:
        log.warning("the TLS certificate ends soon, and another is read at a restart only", ends=ends.isoformat())


def _certificate_ends(ingest: IngestSettings) -> datetime | None:
    if ingest.tls_certificate is None or ingest.tls_key is None:
        return None
    return certificate.expiry(ingest.tls_certificate, ingest.tls_key)


def _state(file: Path | None) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced."""
    try:
        stat = file.stat() if file else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ino, stat.st_size) if stat else None
