"""Log what went wrong by type and place: the text of an exception may quote a payload."""

from pathlib import Path

import structlog

log = structlog.get_logger()


def report(error: BaseException, what: str = "a page failed") -> None:
    """Log an error that nobody expected."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last is not None else "unknown"
    log.error(what, error=type(error).__name__, where=where)
