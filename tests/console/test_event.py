"""One event by its address: what became of it, and why."""

import pytest
from playwright.sync_api import expect

from sternpost.console.pages.event import MOST_SHOWN
from tests.console.console import DESK, PHONE, ConsoleStarter, Pipeline, RunningConsole, Tabs, Theme, webhook


@pytest.fixture(scope="module")
def sent(pipeline: Pipeline) -> Pipeline:
    pipeline.send(
        webhook("event-1", subject="<b onclick=x>hello</b>"),
        webhook("event-1", subject="<b onclick=x>hello</b>"),
        webhook("letter-1", delivery_id={"secret": "s3cret"}),
        b'{"event_id": "cut-1", "data": {"email": "ada@example.com',
        webhook("big/1?x=%", body="x" * 1_000_000),
        webhook("deep-1", content="a\u0000b\u001b[31m\u202ec"),
    )
    pipeline.await_processed()  # the page says how things are when it is opened
    return pipeline


def test_an_event_and_its_duplicate(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(sent.settings), "/event/test/event-1")
    tab.page.locator(".record").nth(1).wait_for()
    first, second = tab.page.locator(".record").nth(0), tab.page.locator(".record").nth(1)
    first.get_by_role("heading", name="Email Opened").wait_for()
    first.get_by_text("context.traits.email").first.wait_for()
    second.get_by_text("It repeats").wait_for()
    assert "ada@example.com" not in tab.page.content()
    assert "ada-1815" not in tab.page.content()
    first.get_by_role("button", name="Show the key").click()
    first.get_by_text("ada-1815").wait_for()
    expect(tab.page.locator(".command")).to_have_text("sternpost find event-1 --source test")


def test_the_first_of_very_many_copies_are_shown(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    sent.send(*[webhook("many-1")] * (MOST_SHOWN + 3))
    sent.await_processed()
    tab = open_tab(start_console(sent.settings), "/event/test/many-1")
    tab.see("3 more have this id; the command lists them all.")
    expect(tab.page.locator(".record")).to_have_count(MOST_SHOWN)


def test_a_dead_letter_and_the_same_address_after_a_restart(
    sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    for _ in range(2):
        console = start_console(sent.settings)
        tab = open_tab(console, "/event/-/letter-1")
        tab.page.get_by_role("heading", name="Dead letter").wait_for()
        tab.see("invalid_field")
        tab.page.locator(".payload-fault").first.wait_for()
        assert "s3cret" not in tab.page.content()
        tab.page.goto("about:blank")
        assert console.stop() == 0


def test_a_body_that_is_not_json(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    console = start_console(sent.settings)
    tab = open_tab(console, "/")
    tab.see("malformed_json")
    assert "ada@example.com" not in tab.page.content()


def test_a_payload_of_a_mebibyte(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(sent.settings), "/event/test/big%2F1%3Fx%3D%25")
    tab.page.get_by_role("heading", name="Email Opened").wait_for()
    tab.see("to explain it takes a while")
    assert len(tab.page.content()) < 1_000_000
    tab.page.get_by_role("button", name="Show the a value").first.click()
    tab.see("characters more")
    tab.check_width()


def test_copies_of_a_payload_of_half_a_million_lines(
    sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    """Whoever has a write key can send these: they must not stop the other tabs, nor fill the console's memory."""
    copies = 8
    sent.send(*[b'{"event_id": "lines-1", "data": {"x": [' + b"1," * 500_000 + b"1]}}"] * copies)
    sent.await_processed()
    console = start_console(sent.settings)
    tab = open_tab(console, "/event/test/lines-1")
    other = open_tab(console, "/mapping")
    tab.see("3 more have this id; the command lists them all.")
    expect(tab.page.locator(".record")).to_have_count(5)
    tab.page.get_by_role("button", name="more lines").first.click()
    other.page.get_by_role("button", name="Example").click()
    tab.check_accessibility()


def test_control_characters(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(sent.settings), "/event/test/deep-1")
    tab.page.locator(".explained table").first.wait_for()
    tab.page.evaluate("document.querySelectorAll('.reveal').forEach(button => button.click())")
    tab.page.wait_for_function("document.querySelectorAll('.reveal').length === 0")
    content = tab.page.content()
    assert not {"\u0000", "\u001b", "\u202e"} & set(content)
    assert "[31m" in content


def test_an_unknown_id(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(sent.settings), "/event")
    tab.page.get_by_label("Event id").fill("nobody <b>knows</b>")
    tab.page.get_by_role("button", name="Find").click()
    tab.see("No webhook with this id")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_readable(sent: Pipeline, start_console: ConsoleStarter, open_tab: Tabs, theme: Theme, width: int) -> None:
    console: RunningConsole = start_console(sent.settings)
    tab = open_tab(console, "/event/test/event-1", theme=theme, width=width)
    tab.page.locator(".explained table").first.wait_for()
    tab.check_accessibility()
    tab.check_width()
    tab.go("/event/test/letter-1")
    tab.page.locator(".payload-fault").first.wait_for()
    tab.check_accessibility()
    tab.check_width()
