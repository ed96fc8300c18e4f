"""Runs the console: pages in NiceGUI, uvicorn around it, and `Access` before everything."""

import asyncio
import contextlib
import inspect
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from nicegui import app as nicegui_app
from nicegui import core, ui
from nicegui.page import page as nicegui_page

from runtime.errors import ConfigurationError
from runtime.settings.model import ConsoleSettings, Settings
from sternpost.console import layout
from sternpost.console.access import LOOPBACK_NAMES, TOKEN, Access
from sternpost.console.failures import report
from sternpost.console.live_events import LiveEvents
from sternpost.console.monitor import Monitor
from sternpost.console.page import Page, PageView
from sternpost.console.pages import PAGES
from sternpost.console.response_headers import ResponseHeaders
from sternpost.console.shared import Console
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.listening_address import EVERY_ADDRESS

STATIC = Path(__file__).parent / "static"
LARGEST_MESSAGE_BYTES = 8 * 1_048_576
"""The most that a browser may send at once: a payload of 1 MiB, escaped as JSON twice."""
RECONNECT_S = 60.0
"""How many seconds a page is kept for a browser that has gone away.

NiceGUI asks the browser after each 0.8 of it, which keeps proxies from closing a silent connection after a minute, and
cuts it off if it does not answer for 0.4 of it: a tab that is busy must not lose what was opened in it."""
SHUTDOWN_S = 3
"""How long open requests may take on Ctrl-C."""
STOP_S = 30.0
"""How long the batch in hand of a redrive or a replay may take then, unless Ctrl-C is pressed again. Brokers abort what
is left open after a minute."""


def serve(settings: Settings, allowed: ChangesAllowed | None, announce: Callable[[str], None]) -> None:
    """Serve the console until Ctrl-C or SIGTERM; without `allowed` it changes nothing.

    `announce` is told the address to open, again when its token was used. Raises ConfigurationError for an address that
    cannot be listened on, or that may not be without TLS.
    """
    own = settings.console
    names = allowed_names(own)
    tls = _check_tls(own)
    listener = _listen(own.host, own.port)
    monitor = Monitor(settings)
    console = Console(settings, allowed, monitor, LiveEvents(settings))
    port = listener.getsockname()[1]

    def tell() -> None:
        host = f"[{own.host}]" if ":" in own.host else own.host
        if own.allowed_hosts:
            host = own.allowed_hosts[0]
        announce(f"{'https' if tls else 'http'}://{host}:{port}/?{TOKEN}={access.token}")

    access = Access(ResponseHeaders(_application(console)), names=names, secure=tls, port=port, opened=tell)
    config = uvicorn.Config(
        access,
        log_config=None,
        access_log=False,  # addresses hold tokens, and ids of events
        server_header=False,
        proxy_headers=False,
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ssl_certfile=own.tls_certificate,
        ssl_keyfile=own.tls_key,
    )
    monitor.start()
    tell()
    with listener:
        asyncio.run(_serve(_Server(config), listener, console))


async def _serve(server: uvicorn.Server, listener: socket.socket, console: Console) -> None:
    """Serve until the end, and then let runs finish the batch in hand: readers would wait for an open transaction."""
    await server.serve(sockets=[listener])
    for job in console.jobs.values():
        job.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await asyncio.gather(*(job.wait() for job in console.jobs.values()))


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on Ctrl-C and SIGTERM. Uvicorn's own method raises the signal again when all is done."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def allowed_names(settings: ConsoleSettings) -> list[str]:
    """Return the host names that the console answers to.

    Raises ConfigurationError for an address beyond this machine if there is no TLS, or no name to be reached by.
    """
    if settings.host in LOOPBACK_NAMES or settings.host.startswith("127."):
        return [*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts]
    if settings.tls_certificate is None:
        raise ConfigurationError(
            f"console.host {settings.host!r} can be reached from other machines, and the console shows people's data: "
            "set console.tls_certificate and console.tls_key, or leave it at 127.0.0.1 and come by `ssh -L` or "
            "`kubectl port-forward`"
        )
    if settings.host in EVERY_ADDRESS and not settings.allowed_hosts:
        raise ConfigurationError(
            f"console.host {settings.host!r} is every address of this machine: say in console.allowed_hosts by which "
            "names people open the console, such as ops.example.com"
        )
    return [settings.host, *settings.allowed_hosts]


def _check_tls(settings: ConsoleSettings) -> bool:
    """Return whether there is a certificate. Raises ConfigurationError if it cannot be used."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_certificate, settings.tls_key, password=lambda: ""
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "they do not fit, or are no PEM"
        raise ConfigurationError(
            f"console.tls_certificate {settings.tls_certificate} and console.tls_key {settings.tls_key} cannot be used "
            f"({reason}); give a certificate chain and its unencrypted key, both PEM"
        ) from None
    return True


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} for the console ({error.strerror}); set console.host and console.port to "
            "a free address (0 takes a free port)"
        ) from None
    return listener


def _application(console: Console) -> FastAPI:
    """Return the pages as an application."""
    _quiet_logs()
    for page in PAGES:
        _register(console, page)
    nicegui_app.add_static_files("/static", STATIC)
    nicegui_app.config.socket_io_js_transports = ["websocket"]  # polling would need POST, which is refused
    core.sio.eio.max_http_buffer_size = LARGEST_MESSAGE_BYTES
    ui.add_head_html(f'<link rel="stylesheet" href="/static/console.css?{_version()}">', shared=True)
    application = FastAPI(openapi_url=None)
    ui.run_with(
        application,
        title="Sternpost",
        dark=None,
        language="en-US",
        tailwind=False,
        gzip_middleware_factory=None,
        show_welcome_message=False,
        reconnect_timeout=RECONNECT_S,
        favicon=STATIC / "favicon.svg",
    )
    return application


def _register(console: Console, page: Page) -> None:
    async def open_page(request: Request) -> None:
        view = PageView(console, page.path, ui.context.client, request.path_params, request.query_params)
        with layout.frame(view, page, PAGES):
            built = page.build(view)
            if inspect.isawaitable(built):
                await built

    nicegui_page(page.path, title=f"{page.title} · Sternpost")(open_page)


def _version() -> int:
    return max(int(os.stat(file).st_mtime) for file in STATIC.iterdir())


def _quiet_logs() -> None:
    """Log what goes wrong in a page by type and place: the text of an exception may quote a payload."""
    for name in ("nicegui", "uvicorn", "uvicorn.error", "uvicorn.access", "socketio", "engineio", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.addFilter(_by_type_and_place)
    nicegui_app.on_exception(report)


def _by_type_and_place(record: logging.LogRecord) -> bool:
    """Replace a library's log line by one of ours if it is about an exception, and drop it otherwise."""
    raised = record.exc_info[1] if record.exc_info else None
    for found in (raised, record.msg, *(record.args if isinstance(record.args, tuple) else ())):
        if isinstance(found, BaseException):
            report(found)
            break
    return False
