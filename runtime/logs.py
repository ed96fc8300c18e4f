"""Logs: one line an event, for people on a terminal and as JSON elsewhere, on standard error.

What is logged is about the service: counts, codes, offsets, settings' names. Never a payload, a person's address,
a key or a signature: exceptions are logged by type and place, and libraries below `warning` not at all.

Logging never raises and never waits: `runtime.log_stream` drops what cannot be written.
"""

import atexit
import json
import logging
import os
import sys
import threading
from functools import cache
from typing import Any, TextIO, cast

import orjson
import structlog

from runtime import metrics
from runtime.log_stream import LogStream
from runtime.settings.model import LogFormat, LogSettings

STANDARD_ERROR = 2
DRAIN_TIMEOUT_S = 1.0
"""How long a process that ends waits for its last lines to be written."""

SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

log = structlog.get_logger()
_counted = 0


class _LineLogger:
    """Hands finished lines to the stream.

    structlog's own loggers hold a lock while they write, which the same thread cannot take again. It may have to: a
    signal handler logs, or a finalizer that is run within the stream raises, which is logged.
    """

    def __init__(self, *_: object) -> None: ...

    def msg(self, line: str) -> None:
        _stream().write(line + "\n")

    debug = info = warning = error = critical = msg


def configure(log: LogSettings, **bound: object) -> None:
    """Set up logging for this process; `bound` is on every line (service, worker)."""
    console = log.format is LogFormat.CONSOLE or (log.format is LogFormat.AUTO and os.isatty(STANDARD_ERROR))
    level = logging.getLevelNamesMapping()[log.level.upper()]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    last = [renderer] if console else [structlog.processors.format_exc_info, renderer]
    structlog.configure(
        processors=[*SHARED, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_LineLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)

    # Lines that libraries log through the standard library take the same form.
    handler = logging.StreamHandler(_stream())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("kafka").setLevel(level)  # librdkafka's own lines, with its debug ones


def take_over_streams() -> None:
    """Have all that this process prints go into its log: for services, which print no results.

    So warnings, tracebacks and what a library prints cannot raise or block either.
    """
    sys.stdout = sys.stderr = cast(TextIO, _stream())
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: log.critical("crashed", exc_info=(kind, error, trace))
    threading.excepthook = _thread_crashed
    sys.unraisablehook = lambda raised: log.error(
        "exception ignored", exc_info=(raised.exc_type, raised.exc_value, raised.exc_traceback)
    )


def count_dropped() -> None:
    """Add the lines dropped since the last call to their metric."""
    global _counted  # noqa: PLW0603
    if (new := _stream().dropped - _counted) > 0:
        _counted += new
        metrics.LOG_LINES_DROPPED.labels().inc(new)


@cache
def _stream() -> LogStream:
    """Return this process's stream."""
    stream = LogStream(STANDARD_ERROR, lambda dropped: log.warning("log lines were dropped", lines=dropped))
    atexit.register(stream.drain, DRAIN_TIMEOUT_S)
    return stream


def _thread_crashed(crash: threading.ExceptHookArgs) -> None:
    value = crash.exc_value or crash.exc_type()
    thread = crash.thread.name if crash.thread else None
    log.error("thread crashed", thread=thread, exc_info=(crash.exc_type, value, crash.exc_traceback))


def _json(event: dict[str, Any], **_: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # half a surrogate pair, as in a file's name, or an integer of more than 64 bits
        return json.dumps(event, default=str)
