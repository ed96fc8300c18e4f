"""The overview on a running pipeline, and with parts of it away."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.console import DESK, PHONE, ConsoleStarter, Pipeline, Tabs, Theme, webhook

KINDS: list[bytes | dict[str, Any]] = [
    webhook("overview-1"),
    webhook("overview-1"),
    webhook("overview-2", delivery_id={"not": "text"}),
    b'{"event_id": "overview-3", "obj',
]


def test_the_way_of_the_data(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    pipeline.send(*KINDS)
    tab = open_tab(start_console(pipeline.settings))
    for text in ("malformed_json", "invalid_field", pipeline.settings.topics.raw, "answers a second", "test-0"):
        tab.see(text)
    members = tab.page.locator(".node", has_text="Processor").locator(".fact", has_text="members")
    members.get_by_text("1 (stable)").wait_for()
    letters = tab.page.locator(".node", has_text=pipeline.settings.topics.dead_letters)
    letters.get_by_text("2", exact=True).wait_for()
    tab.page.locator(".checked").get_by_text("checked at").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_readable(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs, theme: Theme, width: int) -> None:
    tab = open_tab(start_console(pipeline.settings), theme=theme, width=width)
    tab.see("answers a second")
    tab.see("checked at")
    tab.check_accessibility()
    tab.check_width()


def test_a_fault_says_what_to_do(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    settings = pipeline.changed(
        processor={"group_id": "nobody-is-in-it"}, schema_registry={"url": "http://127.0.0.1:1"}
    )
    tab = open_tab(start_console(settings))
    tab.see("No members: no processor is running")
    expect(tab.page.locator(".node-bad").nth(1), "processor and schema").to_be_visible()
    fault = tab.page.locator(".fault-bad", has_text="registry")
    fault.get_by_text("What to do").wait_for()


def test_without_metrics_it_says_what_is_not_known(
    pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    settings = pipeline.changed(console={"metrics": ["http://127.0.0.1:1/metrics"]})
    tab = open_tab(start_console(settings))
    tab.see("No metrics from http://127.0.0.1:1/metrics")
    tab.see("ingest's metrics are not reachable")
    tab.page.locator(".node", has_text="Processor").get_by_text("members").wait_for()


def test_it_changes_nothing(pipeline: Pipeline, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    from runtime.kafka.admin import KafkaAdmin

    before = set(KafkaAdmin(pipeline.settings).metadata().topics)
    tab = open_tab(start_console(pipeline.settings))
    tab.see("checked at")
    made = set(KafkaAdmin(pipeline.settings).metadata().topics) - before
    assert not {name for name in made if "doctor" in name}
