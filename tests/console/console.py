"""A console as a process of its own, and tabs of a browser that watch for what no page may do."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.local.customerio_simulator import WebhookFeed
from sternpost.local.services import Services, environment_for
from sternpost.operations.status.consumer_group import processor_offsets
from tests.support.kafka import SIGNING_KEY, WRITE_KEY
from tests.support.settled import settle
from tests.support.waiting import PATIENCE_S, until

PROGRAM = str(Path(sys.executable).with_name("sternpost"))
PHONE, DESK = 390, 1280
TIMEOUT_MS = 60_000
"""How long a page may take in a test: the machine may be busy with others."""
expect.set_options(timeout=TIMEOUT_MS)

Theme = Literal["light", "dark"]


class RunningConsole:
    """`sternpost console` with these settings."""

    def __init__(self, settings: Settings, folder: Path, arguments: tuple[str, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output, self._log = folder / "output", folder / "log"
        environment = {name: text for name, text in environment_for(settings).items() if name != "PYTEST_CURRENT_TEST"}
        environment |= {"STERNPOST_CONSOLE__PORT": "0", "STERNPOST_LOG__FORMAT": "json"}
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "console", *arguments], stdout=output, stderr=log, env=environment, cwd=folder
            )
        until(lambda: self.process.poll() is not None or "http" in self._output.read_text())

    @property
    def addresses(self) -> list[str]:
        """The addresses printed so far, each with a token; the last one works."""
        return [word for line in self._output.read_text().splitlines() for word in line.split() if "://" in word]

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:1234`."""
        parts = urlsplit(self.addresses[0])
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def log(self) -> str:
        """What it logged so far."""
        return self._log.read_text()

    def logged(self, text: str) -> list[str]:
        """Wait until a line of the log has this text, and return all that have: a thread writes them."""
        lines: list[str] = until(lambda: [line for line in self.log.splitlines() if text in line])
        return lines

    def stop(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@dataclass
class ConsoleStarter:
    folder: Path
    started: list[RunningConsole] = field(default_factory=list)

    def __call__(self, settings: Settings, *arguments: str) -> RunningConsole:
        self.started.append(RunningConsole(settings, self.folder / f"console-{len(self.started)}", arguments))
        return self.started[-1]

    def stop(self) -> None:
        for console in self.started:
            if console.process.poll() is None:
                console.process.kill()
                console.process.wait()


class Tab:
    """A page in a browser of its own, logged in by the printed address.

    It remembers what the browser complained of (`complaints`: errors in scripts, violations of the content policy) and
    every request beyond the console (`strangers`). When the tab is closed, both must be empty.
    """

    def __init__(self, context: BrowserContext, console: RunningConsole, path: str) -> None:
        self.context, self.console = context, console
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        own = urlsplit(console.origin).netloc
        context.on(
            "request",
            lambda asked: (
                None
                if urlsplit(asked.url).netloc == own or urlsplit(asked.url).scheme in ("data", "blob")
                else self.strangers.append(asked.url)
            ),
        )
        self.page.goto(console.addresses[-1])
        if path != "/":
            self.go(path)
        self.page.wait_for_selector("h1")

    def go(self, path: str) -> None:
        """Open a path of the console."""
        self.page.goto(self.console.origin + path)
        self.page.wait_for_selector("h1")

    def see(self, text: str) -> None:
        """Wait until the page shows the text."""
        self.page.get_by_text(text).first.wait_for()

    def check_accessibility(self) -> None:
        """Assert that axe finds nothing: https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md."""
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def check_width(self) -> None:
        """Assert that nothing makes the page wider than its window."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, f"the page is {wide} px too wide"


@dataclass
class Tabs:
    browser: Browser
    opened: list[Tab] = field(default_factory=list)

    def __call__(self, console: RunningConsole, path: str = "/", *, theme: Theme = "light", width: int = DESK) -> Tab:
        context = self.browser.new_context(
            viewport={"width": width, "height": 844 if width == PHONE else 900},
            color_scheme=theme,
            reduced_motion="reduce",
            ignore_https_errors=True,
        )
        tab = Tab(context, console, path)
        self.opened.append(tab)
        return tab

    def close(self) -> None:
        strangers = [address for tab in self.opened for address in tab.strangers]
        complaints = [complaint for tab in self.opened for complaint in tab.complaints]
        for tab in self.opened:
            tab.context.close()
        assert not strangers, "requests to third parties"
        assert not complaints


def without_a_cluster() -> Settings:
    """Settings whose brokers and registry are on ports where nothing listens."""
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "schema_registry": {"url": "http://127.0.0.1:1"},
        }
    )


class Pipeline:
    """Running services, and a way to send to them."""

    def __init__(self, services: Services) -> None:
        self.settings = services.settings
        self.url = services.url

    def send(self, *bodies: bytes | dict[str, Any]) -> None:
        """Send webhooks as Customer.io does; each is acknowledged."""
        feed = WebhookFeed(self.url, WRITE_KEY, SIGNING_KEY, stall_s=0.1, give_up_s=30)
        for body in bodies:
            assert feed.send(body if isinstance(body, bytes) else orjson.dumps(body))
        feed.close()

    def await_processed(self) -> None:
        """Return once the processor has come to the end of the raw topic, and readers see what it made of it."""
        raw, settings = self.settings.topics.raw, self.settings
        ends = {span.partition: span.end for span in range_consumer.readable_ranges(settings, raw)}

        def reached() -> bool:
            committed = processor_offsets(settings, ends)
            return all(committed.get(partition, 0) >= end for partition, end in ends.items())

        until(reached)
        settle(settings)

    def changed(self, **sections: dict[str, Any]) -> Settings:
        """The settings with other values."""
        values = {name: getattr(self.settings, name) for name in Settings.model_fields}
        for name, change in sections.items():
            section = values[name]
            current = {field: getattr(section, field) for field in type(section).model_fields}
            values[name] = type(section).model_validate({**current, **change})
        return Settings.model_validate(values)


def webhook(event_id: str, **data: Any) -> dict[str, Any]:
    """A payload: an email that Ada opened."""
    return {
        "event_id": event_id,
        "object_type": "email",
        "metric": "opened",
        "timestamp": 1_795_000_000,
        "data": {"customer_id": "ada-1815", "recipient": "ada@example.com", "delivery_id": "d-1", **data},
    }
