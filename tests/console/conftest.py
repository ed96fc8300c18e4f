"""A running console and a real browser in front of it.

Without a Chromium the tests that need one are skipped; `make console-test` installs it.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.console.console import ConsoleStarter, Tab, Tabs

_CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("STERNPOST_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _CANDIDATES)), None)
    if found is None:
        pytest.skip("no Chromium: `make console-test` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
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


__all__ = ["Tab"]
