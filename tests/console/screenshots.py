"""Make the screenshots in docs/images again: `python -m tests.console.screenshots`.

It runs the services on the tests' Kafka, sends sample webhooks for a while, and looks at the pages in Chromium.
"""

import tempfile
import threading
import time
from pathlib import Path

import orjson
from playwright.sync_api import sync_playwright

from runtime.settings.model import Settings, TopicSettings
from sternpost.local import samples, services
from sternpost.local.customerio_simulator import WebhookFeed
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.topics import remove
from tests.console.conftest import ARGUMENTS, chromium
from tests.console.console import DESK, ConsoleStarter, Tab, Tabs
from tests.support.kafka import SIGNING_KEY, WRITE_KEY, SettingsMaker, running

IMAGES = Path(__file__).parents[2] / "docs/images"
LARGEST_BYTES = 150_000
RATE_PER_S = 25
PREPARATION_MS = 90_000
"""How long the charts fill before the picture is taken."""


def main() -> None:
    """Write the images."""
    with running() as kafka, tempfile.TemporaryDirectory() as folder:
        topics = {"raw": "shop.raw", "events": "shop.events", "dead_letters": "shop.dead-letters"}
        alone = {"replication_factor": 1, "min_insync_replicas": 1, "partitions": 4}
        made = SettingsMaker(kafka, Path(folder))(
            TopicSettings.model_validate({**topics, **alone}),
            processor={"workers": 2},
        )
        sources = [{"name": "production", "write_keys": [WRITE_KEY], "signing_keys": [SIGNING_KEY]}]
        settings = Settings.model_validate(
            {**{name: getattr(made, name) for name in Settings.model_fields}, "sources": sources}
        )
        starter = ConsoleStarter(Path(folder))
        try:
            with services.running(settings, own_cluster=True) as found:
                _take(found, starter)
        finally:
            starter.stop()
            remove(settings, ChangesAllowed())


def _take(found: services.Services, starter: ConsoleStarter) -> None:
    ended = threading.Event()
    sender = threading.Thread(target=_send, args=(found.url, ended))
    sender.start()
    console = starter(found.settings)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
            tabs = Tabs(browser)
            overview = tabs(console)
            overview.page.wait_for_timeout(PREPARATION_MS)
            overview.see("checked at")
            _save(overview, "console-overview", 820)
            live = tabs(console, "/live", theme="dark")
            live.page.locator(".event-row").nth(20).wait_for()
            live.page.locator(".event-row button").nth(4).click()
            live.page.locator(".detail .payload").nth(1).wait_for()
            _save(live, "console-live", 600)
            live.page.get_by_text("Everything about this event").click()
            live.page.locator(".explained table").first.wait_for()
            event = tabs(console, live.page.url.removeprefix(console.origin))
            event.page.locator(".explained table").first.wait_for()
            _save(event, "console-event", 820)
            tabs.close()
            browser.close()
    finally:
        ended.set()
        sender.join()


def _send(url: str, ended: threading.Event) -> None:
    feed = WebhookFeed(url, WRITE_KEY, SIGNING_KEY)
    number, since = 0, int(time.time()) - 60
    while not ended.wait(1 / RATE_PER_S):
        feed.send(
            orjson.dumps(samples.payload(number, "shot", since=since)) if number % 400 != 90 else b'{"event_id": "cut'
        )
        number += 1
    feed.close()


def _save(tab: Tab, name: str, height: int) -> None:
    file = IMAGES / f"{name}.png"
    tab.page.set_viewport_size({"width": DESK, "height": height})
    tab.page.wait_for_timeout(500)  # for the charts to take their new size
    tab.page.screenshot(path=file)
    assert file.stat().st_size < LARGEST_BYTES, f"{file} has {file.stat().st_size} bytes"


if __name__ == "__main__":
    main()
