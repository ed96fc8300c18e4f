"""Loads what a page shows, again and again if wanted, and says so if brokers or registry are away."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
from nicegui import ui

from runtime.errors import SternpostError
from sternpost.console import background
from sternpost.console.page import PageView

T = TypeVar("T")

log = structlog.get_logger()


class Refresher(Generic[T]):
    """A loader and its banner. What was shown stays while nothing new can be loaded, with its age."""

    def __init__(
        self,
        view: PageView,
        load: Callable[[], T],
        show: Callable[[T], None],
        *,
        every_s: float | None = None,
        limit_s: float = background.LIMIT_S,
    ) -> None:
        """Put the banner here, and begin once the page is open.

        `load` may block; it is called in a thread. `show` is called with what it returns, in the page. Without
        `every_s` (seconds from one end to the next beginning) it is loaded once; `again` loads it another time.
        """
        self._view, self._load, self._show, self._limit_s = view, load, show, limit_s
        self._loaded_at: float | None = None
        self._loading = False
        self.banner = ui.element("div").classes("banner").props("role=status")
        self._context = ui.context.slot.parent
        if every_s is None:
            ui.timer(0.0, self.again, once=True)
        else:
            ui.timer(every_s, self.again)

    async def again(self) -> None:
        """Load and show it, unless that is under way."""
        if self._loading:
            return
        self._loading = True
        try:
            loaded = await background.call(self._load, limit_s=self._limit_s)
        except SternpostError as error:
            self._tell(error)
        else:
            self._loaded_at = time.time()
            if not self._view.client.is_deleted:
                self._clear()
                with self._context:
                    self._show(loaded)
        finally:
            self._loading = False

    def _clear(self) -> None:
        self.banner.clear()
        self.banner.classes(remove="banner-fault")

    def _tell(self, error: SternpostError) -> None:
        if self._view.client.is_deleted:
            return
        show_error(self.banner, error, self._loaded_at)


def show_error(banner: ui.element, error: SternpostError, loaded_at: float | None = None) -> None:
    """Fill a banner with what is wrong and what to do about it; `loaded_at` is the Unix time of what is still shown."""
    banner.clear()
    banner.classes(add="banner-fault")
    with banner:
        ui.label(error.problem).classes("banner-problem")
        if error.remedy:
            ui.label(error.remedy).classes("banner-remedy")
        if loaded_at is not None:
            since = time.strftime("%H:%M:%S", time.localtime(loaded_at))
            ui.label(f"What is below was loaded at {since}; the console keeps trying.").classes("banner-age")
