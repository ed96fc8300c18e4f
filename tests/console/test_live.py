"""Events as they are committed."""

import itertools
import re

import pytest
from playwright.sync_api import expect

from tests.console.console import DESK, PHONE, ConsoleStarter, Pipeline, Tab, Tabs, Theme, webhook
from tests.support.waiting import until

MARKUP = "<img src=x onerror='window.smuggled=1'><script>window.smuggled=2</script>\u202egnp\u0007"


@pytest.fixture
def tab(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> Tab:
    return opened(pipeline, start_console, open_tab)


def opened(
    pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs, theme: Theme = "light", width: int = DESK
) -> Tab:
    """A tab that has seen an event: its reader is at the end of the topic, and gets all that follow."""
    tab = open_tab(start_console(pipeline.settings), "/live", theme=theme, width=width)
    tab.see("Waiting for the next event")
    sent = 0

    def sees_one() -> bool:
        nonlocal sent
        sent += 1
        pipeline.send(webhook(f"first-{id(tab)}-{sent}"))
        tab.page.wait_for_timeout(500)
        return tab.page.locator(".event-row").count() > 0

    until(sees_one)
    return tab


def count(tab: Tab) -> int:
    """How many events the page has got."""
    found = re.match(r"([\d,]+) events", tab.page.locator(".status").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def settled(tab: Tab, pipeline: Pipeline, name: str) -> int:
    """The count once an event of that name has come, and so all that were sent before it to its partition."""
    pipeline.send({**webhook(name), "metric": "spammed"})
    tab.see("Email Marked as Spam")
    return count(tab)


def test_every_event_comes(tab: Tab, pipeline: Pipeline) -> None:
    before = settled(tab, pipeline, "marker")
    pipeline.send(*(webhook(f"live-{number}", customer_id=f"person-{number % 7}") for number in range(120)))
    until(lambda: count(tab) >= before + 120)
    assert count(tab) == before + 120
    expect(tab.page.locator(".event-row")).to_have_count(50)


def test_an_event_beside_its_webhook(tab: Tab, pipeline: Pipeline) -> None:
    pipeline.send({**webhook("clicked-1", customer_id=MARKUP, link=MARKUP), "metric": "clicked"})
    tab.page.get_by_role("button", name="Email Link Clicked").first.click()
    detail = tab.page.locator(".detail")
    detail.locator(".place", has_text=pipeline.settings.topics.raw).wait_for()
    detail.locator(".payload").nth(1).wait_for()
    assert "smuggled" not in tab.page.content(), "values are covered"
    assert "ada@example.com" not in tab.page.content()

    covered = detail.get_by_role("button", name="Show the data.customer_id")
    covered.focus()
    tab.page.keyboard.press("Enter")
    detail.get_by_text("<img src=x onerror='window.smuggled=1'>").wait_for()
    assert "\u202e" not in tab.page.content()
    assert tab.page.evaluate("window.smuggled") is None
    assert tab.page.locator("img[src=x]").count() == 0
    assert "ada@example.com" not in tab.page.content(), "the others stay covered"
    [line] = tab.console.logged("value revealed")
    assert "data.customer_id" in line
    assert "smuggled" not in tab.console.log
    tab.check_accessibility()

    detail.get_by_text("Everything about this event").click()
    tab.page.wait_for_url("**/event/test/clicked-1?raw=*")


def test_filters(tab: Tab, pipeline: Pipeline) -> None:
    pipeline.send(webhook("filter-1", customer_id="grace-1906"), {**webhook("filter-2"), "metric": "bounced"})
    tab.see("Email Bounced")
    tab.page.get_by_label("Person").fill("grace-1906")
    tab.page.wait_for_function("document.querySelectorAll('.event-row').length === 1")
    tab.page.get_by_label("Person").fill("")
    tab.page.get_by_label("Event", exact=True).fill("bounc")
    tab.page.wait_for_function("document.querySelectorAll('.event-row').length >= 1")
    until(lambda: {"Email Bounced"} == set(tab.page.locator(".event-row .link").all_inner_texts()))
    tab.page.get_by_label("Channel").fill("push")
    tab.page.wait_for_function("document.querySelectorAll('.event-row').length === 0")
    assert "grace" not in tab.page.url
    assert "grace" not in tab.console.log


def test_pause(tab: Tab, pipeline: Pipeline) -> None:
    tab.page.get_by_role("button", name="Pause").click()
    tab.see("paused")
    shown = tab.page.locator(".event-row").all_inner_texts()
    pipeline.send(*(webhook(f"paused-{number}") for number in range(5)))
    tab.page.wait_for_function("/paused, ([5-9]|\\d\\d+) more/.test(document.querySelector('.status').innerText)")
    assert tab.page.locator(".event-row").all_inner_texts() == shown
    tab.page.get_by_role("button", name="Go on").click()
    until(lambda: tab.page.locator(".event-row").count() >= len(shown) + 5)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_readable(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs, theme: Theme, width: int) -> None:
    tab = opened(pipeline, start_console, open_tab, theme, width)
    tab.page.locator(".event-row button").first.click()
    tab.page.locator(".detail .payload").nth(1).wait_for()
    tab.check_accessibility()
    tab.check_width()


def test_registry_away(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    console = start_console(pipeline.changed(schema_registry={"url": "http://127.0.0.1:1"}))
    tab = open_tab(console, "/live")
    numbers = itertools.count()

    def says_so() -> bool:
        # Another one each time: a repeated one makes no event, and the first may come before the page reads.
        pipeline.send(webhook(f"away-{id(tab)}-{next(numbers)}"))
        tab.page.wait_for_timeout(500)
        return "schema registry" in tab.page.locator(".banner").inner_text()

    until(says_so)
