"""The page Dead letters, in a real browser; a reader of the topics judges what a redrive did."""

import json
import re
import time
from collections import Counter

import pytest
from playwright.sync_api import Locator, expect

from runtime.kafka import range_consumer
from runtime.kafka.admin import FROM_END, KafkaAdmin
from runtime.settings.model import Settings
from sternpost.console.live_events import LiveEvents
from sternpost.console.monitor import Monitor
from sternpost.console.redrive_run import RedriveRun
from sternpost.console.shared import Console
from sternpost.operations.changes_allowed import ChangesNotAllowedError
from sternpost.operations.dead_letters.selection import Selection
from tests.console.console import DESK, PHONE, ConsoleStarter, RunningConsole, Tab, Tabs, without_a_cluster
from tests.support.buried import BROKEN, GOOD, bury
from tests.support.kafka import SettingsMaker, TopicMaker
from tests.support.settled import settle
from tests.support.waiting import until

LONG_MS = 300_000
"""For thousands of letters, on a machine that is busy with others."""
SECRET = "grace.hopper@example.com"
WRONG_FIELD = {"error_code": "invalid_field", "error_field": "data.action_id"}


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    return make_settings(make_topics(partitions=3))


def sent_back(settings: Settings) -> Counter[bytes]:
    """Count what a read_committed reader finds in the raw topic, by body."""
    settle(settings, settings.topics.raw)
    return Counter(message.value() or b"" for message in range_consumer.read(settings, settings.topics.raw))


def press(tab: Tab, name: str) -> None:
    tab.page.get_by_role("button", name=name, exact=True).click()


def redrive_button(tab: Tab) -> Locator:
    return tab.page.get_by_role("button", name="Redrive", exact=True)


def dry_run(tab: Tab) -> None:
    press(tab, "Dry run")
    tab.see("would be sent back")


def test_groups_time_and_list(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    now = int(time.time() * 1000)
    bury(settings, [{"timestamp": now - index * 60_000} for index in range(60)])
    bury(settings, [{"value": BROKEN, "headers": WRONG_FIELD}] * 3)
    console = start_console(settings)
    tab = open_tab(console, "/dead-letters", theme="dark", width=PHONE)
    tab.see("63 dead letters")
    tab.check_accessibility()
    tab.check_width()

    tab = open_tab(console, "/dead-letters", width=DESK)
    tab.see("63 dead letters")
    kinds = tab.page.get_by_role("region", name="Kinds of dead letters")
    expect(kinds.locator("tbody tr")).to_contain_text(["internal_error", "invalid_field"])
    expect(tab.page.get_by_role("img", name="Dead letters over time")).to_have_count(1)
    tab.see("1 to 25 of 63")
    press(tab, "Older")
    tab.see("26 to 50 of 63")
    press(tab, "Older")
    tab.see("51 to 63 of 63")
    expect(tab.page.get_by_role("button", name="Older")).to_be_disabled()

    press(tab, "invalid_field")
    tab.page.get_by_text("3 dead letters", exact=True).wait_for()
    expect(tab.page.get_by_role("region", name="Dead letters", exact=True).locator("tbody tr")).to_have_count(3)
    expect(tab.page.locator(".page-head .command")).to_contain_text(
        "--code invalid_field --source test --field data.action_id --since 24h"
    )
    press(tab, "All kinds")
    tab.see("63 dead letters")
    tab.page.get_by_label("Failed since").fill("yesterday-ish")
    press(tab, "Show")
    tab.see("is not a time")
    tab.check_accessibility()


def test_a_letter_with_its_fault_marked_and_its_values_covered(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    hostile = '<img src=x onerror="window.smuggled=1">\x1b[31m\u202e'
    data = {"customer_id": "u", "recipient": SECRET, "action_id": "seven", hostile: hostile}
    body = json.dumps({"event_id": "b", "object_type": "email", "metric": "sent", "data": data}).encode()
    bury(settings, [{"value": body, "headers": {**WRONG_FIELD, "source": hostile, "error_message": hostile}}, {}])
    console = start_console(settings)
    tab = open_tab(console, "/dead-letters")
    press(tab, "Open 0:0")
    tab.see("Dead letter 0:0")
    tab.see("a dead letter again")
    assert SECRET not in tab.page.content()
    fault = tab.page.locator(".letter .payload-fault")
    expect(fault).to_contain_text('"action_id": ')
    expect(fault).to_contain_text("text of 5")
    tab.check_accessibility()
    fault.get_by_role("button").click()
    tab.see('"seven"')
    console.logged("data.action_id")
    assert not any(text in console.log for text in ("seven", SECRET, "onerror"))
    assert tab.page.evaluate("window.smuggled") is None
    expect(tab.page.locator(".command").first).to_have_text(re.compile("dead-letters show 0:0$"))
    tab.page.keyboard.press("Escape")
    tab.page.get_by_text("Dead letter 0:0").wait_for(state="hidden")
    press(tab, "Open 1:0")
    tab.see("Email Sent")


def test_a_dry_run_then_a_redrive(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    bury(settings, [{} for _ in range(30)])
    bury(settings, [{"value": BROKEN, "headers": WRONG_FIELD}])
    tab = open_tab(start_console(settings, "--allow-changes"), "/dead-letters")
    tab.see("31 dead letters")
    redrive = redrive_button(tab)
    expect(redrive, "it was not tried").to_be_disabled()
    dry_run(tab)
    tab.see("30 would become events")
    tab.see("1 left out: today's mapping would make dead letters of them again: invalid_field")
    assert not sent_back(settings)
    tab.check_accessibility()
    redrive.click()
    tab.see("30 sent back to")
    tab.page.get_by_text("1 dead letters", exact=True).wait_for()
    assert sent_back(settings) == Counter(GOOD % (index, index) for index in range(30))
    expect(redrive).to_be_disabled()
    dry_run(tab)
    redrive.click()
    tab.page.get_by_text(re.compile("^0 sent back to")).wait_for()
    assert sent_back(settings).total() == 30


def test_only_the_chosen_letters_go_back(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    bury(settings, [{} for _ in range(6)])
    tab = open_tab(start_console(settings, "--allow-changes"), "/dead-letters")
    for place in ("0:0", "2:1"):
        tab.page.get_by_role("checkbox", name=f"Choose {place}").click()
    tab.see("sternpost dead-letters redrive --at 0:0 --at 2:1")
    dry_run(tab)
    tab.page.get_by_role("checkbox", name="Choose 1:0").click()
    expect(redrive_button(tab), "that was not tried").to_be_disabled()
    tab.page.get_by_role("checkbox", name="Choose 1:0").click()
    press(tab, "Redrive")
    tab.see("2 sent back to")
    assert sent_back(settings) == Counter([GOOD % (0, 0), GOOD % (5, 5)])


def test_a_redrive_that_is_stopped_goes_on_with_each_letter_once(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    letters = 6_000
    bury(settings, [{} for _ in range(letters)])
    # A request for each record: or all would be sent before a busy browser has pressed the second button.
    slow = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"properties": {"batch.num.messages": "1"}})}
    )
    tab = open_tab(start_console(slow, "--allow-changes"), "/dead-letters")
    tab.see("6,000 dead letters")
    dry_run(tab)
    press(tab, "Redrive")
    press(tab, "Stop")
    stopped = tab.page.get_by_text("Stopped").first
    stopped.wait_for(timeout=LONG_MS)
    left = re.search(r"([\d,]+) are left", stopped.inner_text())  # or nothing was sent
    remaining = int(left[1].replace(",", "")) if left else letters
    assert sent_back(settings).total() == letters - remaining
    tab.check_accessibility()
    other = open_tab(tab.console, "/dead-letters")
    press(other, "Go on")
    other.page.get_by_text(f"{remaining:,} sent back to").wait_for(timeout=LONG_MS)
    tab.page.get_by_text("0 dead letters", exact=True).wait_for()
    assert sent_back(settings) == Counter(GOOD % (index, index) for index in range(letters))


def test_a_console_that_is_killed_leaves_no_letter_out_and_sends_none_twice(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    letters = 12_000
    bury(settings, [{} for _ in range(letters)])
    console = start_console(settings, "--allow-changes")
    tab = open_tab(console, "/dead-letters")
    tab.see("12,000 dead letters")
    dry_run(tab)
    press(tab, "Redrive")
    until(lambda: any(there.end for there in range_consumer.readable_ranges(settings, settings.topics.raw)))
    tab.page.close()  # it would complain that its server is gone
    console.process.kill()
    console.process.wait()
    _redrive_the_rest(start_console(settings, "--allow-changes"), open_tab)
    assert sent_back(settings) == Counter(GOOD % (index, index) for index in range(letters))


def test_a_console_that_is_stopped_leaves_no_transaction_open(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    bury(settings, [{} for _ in range(1_000)])  # a batch, which takes its time with a request for each record
    slow = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"properties": {"batch.num.messages": "1"}})}
    )
    console = start_console(slow, "--allow-changes")
    tab = open_tab(console, "/dead-letters")
    dry_run(tab)
    press(tab, "Redrive")
    topic = settings.topics.raw
    until(lambda: any(KafkaAdmin(settings).offsets(topic, dict.fromkeys(range(3), FROM_END), stable=False).values()))
    tab.page.close()  # it would complain that its server is gone
    assert console.stop() == 0
    settle(settings, topic)  # brokers would take a minute to end a transaction that was left open
    assert sent_back(settings), "the batch in hand was finished"


def _redrive_the_rest(console: RunningConsole, open_tab: Tabs) -> None:
    tab = open_tab(console, "/dead-letters")
    dry_run(tab)
    press(tab, "Redrive")
    # Not the plan's "would be sent back to", which stands there until the browser has heard of the redrive.
    tab.page.get_by_text(re.compile("^[0-9,]+ sent back to")).wait_for(timeout=LONG_MS)


def test_a_read_only_console_sends_nothing(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    bury(settings, [{}])
    tab = open_tab(start_console(settings), "/dead-letters")
    dry_run(tab)
    tab.see("This console is read-only")
    expect(redrive_button(tab)).to_be_disabled()
    redrive_button(tab).evaluate("e => { e.disabled = false; e.click(); }")
    run = RedriveRun(
        Console(settings, None, Monitor(settings), LiveEvents(settings)),
        Selection(),
        [],
        dry=False,
        even_if_failing=True,
    )
    with pytest.raises(ChangesNotAllowedError):
        run._work(run._stop, lambda *_: None)
    assert not sent_back(settings)


def test_brokers_away(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster(), "--allow-changes"), "/dead-letters?at=0:0")
    tab.see("no Kafka broker at 127.0.0.1:1 answers")
    press(tab, "Dry run")
    tab.page.get_by_role("region", name="Redrive").get_by_text("no Kafka broker").wait_for()
    expect(redrive_button(tab), "the dry run failed").to_be_disabled()
    tab.check_accessibility()


def test_a_letter_of_1_mib(
    make_topics: TopicMaker, make_settings: SettingsMaker, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    settings = make_settings(make_topics(partitions=3, config={"max.message.bytes": "4000000"}))
    fields = {f"field{index}": SECRET for index in range(25_000)}
    body = json.dumps({"event_id": "b", "data": {"customer_id": "u", **fields, "action_id": "no number"}}).encode()
    long = b'{"a": "' + b"x" * 1_000_000
    bury(
        settings,
        [{"value": body, "headers": WRONG_FIELD}, {"value": long, "headers": {"error_code": "malformed_json"}}],
    )
    tab = open_tab(start_console(settings), "/dead-letters?at=0:0")
    tab.see("lines before the fault")
    assert tab.page.locator(".letter .payload-line").count() <= 200
    expect(tab.page.locator(".letter .payload-fault")).to_contain_text('"action_id": ')
    tab.go("/dead-letters?at=1:0")
    tab.see("Dead letter 1:0")
    tab.page.locator(".letter .payload-fault").get_by_role("button").click()
    tab.see("characters more")
    tab.check_width()
