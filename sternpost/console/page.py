"""What a page is, and what it is given when someone opens it."""

import shlex
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeVar

from nicegui import Client, ui

from runtime.settings.loader import settings_file
from runtime.settings.model import Settings
from sternpost.console.background import Job
from sternpost.console.shared import Console
from sternpost.operations.printable import printable

T = TypeVar("T")


class PageView:
    """One opening of a page, in one tab."""

    def __init__(
        self, console: Console, path: str, client: Client, parameters: Mapping[str, str], query: Mapping[str, str]
    ) -> None:
        self.console = console
        self.settings = console.settings
        self.path = path
        """The page's path as it was registered, without anybody's ids: fit for a log."""
        self.client = client
        self.parameters = parameters
        """The parts of the path: `/event/{source}`."""
        self.query = query
        self.command_line: ui.label | None = None

    def show_command(self, arguments: str) -> None:
        """Say which command does in a terminal what the page shows: `status --watch`."""
        assert self.command_line is not None  # noqa: S101 (the layout comes first)
        self.command_line.text = printable(command_line(self.settings, arguments))

    def start(self, job: Job[T]) -> "Awaitable[T]":
        """Start a job that is stopped when the page is closed."""
        self.client.on_delete(job.cancel)
        return job.start()


class Page(NamedTuple):
    """A page of the console. `sternpost.console.pages` lists them all."""

    path: str
    """Its address: `/`, `/event/{source}/{event_id:path}`."""
    title: str
    icon: str
    """A name from Material Icons: https://fonts.google.com/icons?icon.set=Material+Icons."""
    command: str
    """The command that does the same, without `sternpost`; `PageView.show_command` changes it."""
    build: Callable[[PageView], Awaitable[None] | None]
    """Puts the elements on the page. It must not block: what asks Kafka goes through `background` or `Refresher`."""
    in_navigation: bool = True


def command_line(settings: Settings, arguments: str) -> str:
    """Return the line to type: `sternpost status --watch`, with the settings file if it is not found by itself."""
    file = settings_file(settings)
    config = f"--config {shlex.quote(str(file))} " if file is not None and str(file) != "sternpost.toml" else ""
    return f"sternpost {config}{arguments}"
