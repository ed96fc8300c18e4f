"""A running console and a real browser in front of it.

Without a Chromium the tests that need one are skipped; `make console-test` installs it.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from sternpost.local import services
from tests.console.console import ConsoleStarter, Pipeline, Tabs
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker

_CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return os.environ.get("STERNPOST_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _CANDIDATES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = chromium()
    if found is None:
        pytest.skip("no Chromium: `make console-test` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def start_console(tmp_path: Path) -> Iterator[ConsoleStarter]:
    """`start_console(settings, "--allow-changes") -> RunningConsole`, ended with the test."""
    starter = ConsoleStarter(tmp_path)
    yield starter
    starter.stop()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Tabs]:
    """`open_tab(console, "/", theme="dark", width=390) -> Tab`; see `Tab` for what each watches."""
    tabs = Tabs(browser)
    yield tabs
    tabs.close()


@pytest.fixture(scope="module")
def pipeline(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Both services on topics of their own, for all tests of a file."""
    maker = TopicMaker(kafka)
    settings = SettingsMaker(kafka, tmp_path_factory.mktemp("pipeline"))(maker(partitions=3))
    with services.running(settings, own_cluster=True) as running:
        yield Pipeline(running)
    maker.remove()
