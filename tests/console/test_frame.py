"""The frame around every page, in a real browser."""

import pytest
from playwright.sync_api import expect

from sternpost.console.pages import PAGES
from tests.console.console import DESK, PHONE, ConsoleStarter, Tabs, Theme, without_a_cluster

STILL_MS = 25_000
ENTRIES = [page.path for page in PAGES if page.in_navigation]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_brokers_and_registry_away(start_console: ConsoleStarter, open_tab: Tabs, theme: Theme) -> None:
    console = start_console(without_a_cluster())
    for path in ENTRIES:
        for width in (DESK, PHONE):
            tab = open_tab(console, path, theme=theme, width=width)
            expect(tab.page.locator("h1")).to_have_count(1)
            tab.check_accessibility()
            tab.check_width()
    tab = open_tab(console, "/", theme=theme)
    tab.see("127.0.0.1:1")
    tab.check_accessibility()


def test_navigation_by_keyboard(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster()))
    tab.page.keyboard.press("Tab")
    expect(tab.page.get_by_text("Skip to the content")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#content")).to_be_focused()


def test_the_theme_is_kept(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster()), theme="light")
    tab.page.get_by_role("button", name="Theme: auto").click()
    tab.page.get_by_role("button", name="Theme: light").click()
    tab.page.get_by_role("button", name="Theme: dark").wait_for()
    tab.page.wait_for_function("document.body.classList.contains('body--dark')")
    tab.page.reload()
    tab.page.wait_for_function("document.body.classList.contains('body--dark')")


def test_smuggled_scripts_do_not_run(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster()))
    tab.page.evaluate(
        """() => {
            const made = document.createElement('div');
            made.innerHTML = '<img src="x" onerror="window.smuggled = 1">';
            document.body.append(made);
            const script = document.createElement('script');
            script.textContent = 'window.smuggled = 2';
            document.body.append(script);
        }"""
    )
    tab.page.wait_for_function("document.querySelector('img[src=x]').complete")
    assert tab.page.evaluate("window.smuggled") is None
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)
    tab.complaints.clear()


def test_ctrl_c_ends_it_while_pages_are_open(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    console = start_console(without_a_cluster())
    tab = open_tab(console)
    assert console.stop() == 0
    tab.complaints.clear()  # the browser misses its server
    assert "Traceback" not in console.log


def test_a_tab_that_stands_still_keeps_what_is_open_in_it(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    """As a browser on a busy machine does, or one that looks at a large page."""
    tab = open_tab(start_console(without_a_cluster()), "/mapping")
    tab.page.get_by_label("Search").fill("recipient phone corrected")
    tab.see("2 fields, 0 names of events")
    tab.page.evaluate("window.opened = true")
    scripts = tab.context.new_cdp_session(tab.page)
    scripts.send("Debugger.enable")
    scripts.send("Debugger.pause")
    tab.page.wait_for_timeout(STILL_MS)
    scripts.send("Debugger.resume")
    scripts.detach()
    tab.page.get_by_label("Search").fill("no such field")
    tab.see("0 fields, 0 names of events")
    assert tab.page.evaluate("window.opened"), "the page was opened again"
    tab.complaints.clear()  # it may have been cut off for a moment
