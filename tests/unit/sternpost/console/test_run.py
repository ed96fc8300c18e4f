"""A run is shown by any number of pages, for as long as the console lives."""

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import NoReturn

import pytest
import structlog.testing

from runtime.errors import DependencyError, SternpostError
from runtime.settings.model import Settings
from sternpost.console.live_events import LiveEvents
from sternpost.console.monitor import Monitor
from sternpost.console.run import Run
from sternpost.console.shared import Console


class FailingRun(Run):
    kind = "trial"

    def __init__(self, error: Exception) -> None:
        super().__init__(self._fail)
        self._fault = error

    def _fail(self, stop: threading.Event, report: Callable[[int, int], None]) -> NoReturn:
        raise self._fault


class Page:
    """As a page asks, when it is opened."""

    def look(self, console: Console) -> SternpostError | None:
        run = FailingRun.last_ended(console)
        assert run is not None
        return run.error()


@pytest.mark.parametrize("fault", [DependencyError("brokers are away"), ZeroDivisionError("of grace@example.com")])
def test_a_failure_is_told_to_every_page_logged_once_and_keeps_no_page(fault: Exception) -> None:
    console = Console(Settings(), None, Monitor(Settings()), LiveEvents(Settings()))
    pages = weakref.WeakSet[Page]()
    told: list[str] = []

    async def run() -> None:
        failing = FailingRun(fault)
        assert failing.begin(console)
        await asyncio.wait([failing.ended])
        for _ in range(5):
            page = Page()
            pages.add(page)
            found = page.look(console)
            assert found is not None
            told.append(found.problem)

    with structlog.testing.capture_logs() as logged:
        asyncio.run(run())
    assert not pages
    expected = (
        fault.problem if isinstance(fault, SternpostError) else "this failed for a reason that is a fault of ours"
    )
    assert told == [expected] * 5
    assert [line["error"] for line in logged] == ([] if isinstance(fault, SternpostError) else ["ZeroDivisionError"])
    assert "grace" not in str(logged)
