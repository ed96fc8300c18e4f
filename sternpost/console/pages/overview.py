"""The overview: the way of the data, and what is wrong with it."""

from nicegui import ui

from sternpost.console.page import Page, PageView
from sternpost.console.refresher import Refresher
from sternpost.operations.status.snapshot import Snapshot, StatusCollector


def build(view: PageView) -> None:
    """Put the page together."""
    collector = StatusCollector(view.settings)

    def show(snapshot: Snapshot) -> None:
        lag.text = f"{snapshot.lag} records behind"

    Refresher(view, collector.collect, show, every_s=2.0)
    lag = ui.label("…").classes("figure")


PAGE = Page("/", "Overview", "monitor_heart", "status --watch", build)
