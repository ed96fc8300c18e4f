"""People's data on a page: covered until someone asks for a value, one by one, which the log says without the value.

A covered value is not in the page: the browser gets it when it is asked for.
"""

import structlog
from nicegui import ui

from sternpost.console.page import PageView
from sternpost.operations.printable import printable

COVER = "•••••"

log = structlog.get_logger()


class Masked:
    """A value that is covered: a button that shows it."""

    def __init__(self, view: PageView, what: str, value: str, *, record: str = "", hint: str = "") -> None:
        """Cover `value`.

        `what` names it for screen readers and in the log: `user id`; it must not come from the data. `record` says in
        the log which record it is of: `customerio.raw 3:42`. `hint` is shown with the cover: `text of 12 characters`.
        """
        self._view, self._what, self._value, self._record = view, what, value, record
        with ui.element("span").classes("masked") as self.element:
            self._button = ui.element("button").classes("reveal").props(f'type=button aria-label="Show the {what}"')
            with self._button:
                ui.label(f"{COVER} {hint}".strip()).classes("reveal-text")
            self._button.on("click", self._reveal)

    def _reveal(self) -> None:
        log.info("value revealed", page=self._view.path, what=self._what, record=self._record)
        self._button.delete()
        with self.element:
            ui.label(printable(self._value)).classes("revealed")


def hint(text: str) -> str:
    """Describe a value in JSON without showing it: `text of 12`."""
    kind = {'"': f"text of {len(text) - 2}", "{": "an object", "[": "a list", "n": "null", "t": "true or false"}
    return (kind | {"f": kind["t"]}).get(text[:1], "a number")
