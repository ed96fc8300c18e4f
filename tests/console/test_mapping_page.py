"""The page Mapping, in a real browser."""

import json
import random
import re

import pytest
from playwright.sync_api import Locator, expect

from runtime.settings.model import Settings
from schemas import record_headers
from tests.console.console import DESK, PHONE, ConsoleStarter, Tab, Tabs, Theme, without_a_cluster
from tests.support.kafka import SettingsMaker, TopicMaker, idempotent_producer

SECRET = "grace.hopper@example.com"
PAYLOAD = {
    "event_id": "e-1",
    "object_type": "sms",
    "metric": "clicked",
    "timestamp": 1613063089,
    "data": {"customer_id": "u-1", "identifiers": {"email": SECRET}, "recipient": "+15551234567", "action_id": 7},
}


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    return make_settings(make_topics(partitions=1))


def write(settings: Settings, topic: str, value: bytes, **headers: str) -> None:
    producer = idempotent_producer(settings.kafka.bootstrap_servers)
    found: dict[str, str | bytes | None] = {record_headers.SOURCE: "main", **headers}
    producer.produce(topic, value, key="u", headers=found)
    assert producer.flush(60) == 0


def paste(tab: Tab, text: str) -> None:
    tab.page.get_by_label("A webhook's body").fill(text)


def became(tab: Tab, outcome: str) -> None:
    """Wait until the payload became this, with both profiles."""
    tab.page.wait_for_function(
        "name => [...document.querySelectorAll('.profile .outcome')].filter(e => e.innerText === name).length === 2",
        arg=outcome,
    )


def profile(tab: Tab, name: str) -> Locator:
    return tab.page.locator("section.profile", has=tab.page.get_by_role("heading", name=name))


def test_a_payload_becomes_both_profiles_side_by_side(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    """It takes neither brokers nor registry."""
    console = start_console(without_a_cluster())
    for theme, width in (("light", DESK), ("dark", PHONE)):
        tab = open_tab(console, "/mapping", theme=_theme(theme), width=width)
        paste(tab, json.dumps(PAYLOAD))
        became(tab, "SMS Link Clicked")
        corrected, documented = profile(tab, "corrected"), profile(tab, "rudderstack")
        expect(corrected).to_contain_text("context.traits.phone")
        expect(corrected).to_contain_text("only here")
        expect(documented).to_contain_text("not needed: context.traits.email comes from data.identifiers.email")
        expect(documented).not_to_contain_text("context.traits.phone")
        tab.check_accessibility()
        tab.check_width()
    expect(tab.page.locator(".command")).to_have_text("sternpost transform --explain payload.json")


def test_what_is_wrong_is_marked_in_the_payload(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster()), "/mapping")
    paste(tab, json.dumps({**PAYLOAD, "timestamp": -1, "data": {**PAYLOAD["data"], "action_id": "seven"}}))  # type: ignore[dict-item]
    became(tab, "invalid_timestamp")
    marked = tab.page.locator("section.profile").first.locator(".code-fault")
    expect(marked).to_have_text([re.compile(r'"timestamp":\s*-1\s*,'), re.compile(r'"action_id":\s*"seven"')])
    tab.check_accessibility()
    paste(tab, '{"a": <script>alert(1)</script>\x1b[31m')
    became(tab, "malformed_json")
    expect(tab.page.locator("section.profile .code-fault")).to_have_count(2)
    paste(tab, " ")
    tab.page.locator("section.profile").first.wait_for(state="detached")


def test_a_shared_payload_is_in_the_fragment_and_in_no_log(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    console = start_console(without_a_cluster())
    tab = open_tab(console, "/mapping")
    paste(tab, json.dumps(PAYLOAD))
    became(tab, "SMS Link Clicked")
    tab.page.get_by_role("button", name="Share").click()
    tab.page.wait_for_function("location.hash.startsWith('#payload=')")
    address = tab.page.evaluate("location.pathname + location.hash")

    other = open_tab(console, "/")
    asked: list[str] = []
    other.page.on("request", lambda request: asked.append(request.url))
    other.go(address)
    became(other, "SMS Link Clicked")
    expect(other.page.get_by_label("A webhook's body")).to_have_value(re.compile(SECRET))
    fragment = address.partition("#payload=")[2]
    assert asked
    assert not any(fragment[:20] in url for url in asked)
    assert SECRET not in console.log
    assert fragment[:20] not in console.log

    other.page.evaluate("location.hash = '#payload=damaged'")
    other.see("the payload in this address is damaged")
    paste(tab, json.dumps({"a": random.Random(1).randbytes(40_000).hex()}))
    became(tab, "missing_identity")
    tab.page.get_by_role("button", name="Share").click()
    tab.see("too long to share in an address")


def test_a_real_record_is_covered_until_someone_looks(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    write(settings, settings.topics.raw, json.dumps(PAYLOAD).encode())
    console = start_console(settings)
    tab = open_tab(console, "/mapping#raw=0:0")
    became(tab, "SMS Link Clicked")
    assert SECRET not in tab.page.content()
    tab.check_accessibility()
    tab.page.get_by_role("button", name="Show the context.traits.email").first.click()
    tab.see(SECRET)
    assert tab.page.content().count(SECRET) == 1
    [line] = map(json.loads, console.logged("value revealed"))
    assert line["what"] == "context.traits.email"
    assert line["record"] == f"{settings.topics.raw} 0:0"
    assert SECRET not in console.log


def test_a_dead_letter_can_be_taken_and_names_of_its_fields_are_not_logged(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    body = {**PAYLOAD, "data": {SECRET: "x", "action_id": "seven"}}
    headers = {"error_code": "invalid_field", "error_field": "data.action_id", "error_stage": "map"}
    write(settings, settings.topics.dead_letters, json.dumps(body).encode(), **headers)
    console = start_console(settings)
    tab = open_tab(console, "/mapping")
    tab.page.get_by_label("Or take").click()
    tab.page.get_by_role("option", name="dead letter").click()
    tab.page.get_by_label("partition:offset").fill("0:0")
    tab.page.keyboard.press("Enter")
    became(tab, "invalid_field")
    expect(tab.page.locator(".command")).to_contain_text("dead-letters export --all --at 0:0 --bodies")
    covered = tab.page.get_by_role("button", name="Show the")
    while left := covered.count():
        covered.first.click()
        tab.page.wait_for_function("left => document.querySelectorAll('.reveal').length < left", arg=left)
    tab.see('"seven"')
    console.logged("data.action_id")
    assert SECRET not in console.log


def test_what_cannot_be_taken_is_said(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(settings), "/mapping")

    def take(place: str) -> None:
        tab.page.get_by_label("partition:offset").fill(place)
        tab.page.get_by_role("button", name="Take", exact=True).click()

    take("there")
    tab.see("give the partition and the offset")
    take("0:7")
    tab.see("has no record at 0:7")
    take("9:0")
    tab.see("has partitions 0 to 0, and no 9")
    tab.check_accessibility()
    away = open_tab(start_console(without_a_cluster()), "/mapping#raw=0:0")
    away.see("no Kafka broker at 127.0.0.1:1 answers")


def test_a_payload_of_1_mib(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster()), "/mapping")
    fields = {f"field{index}": "x" * 40 for index in range(15_000)}
    paste(tab, json.dumps({**PAYLOAD, "data": {**PAYLOAD["data"], **fields}}))  # type: ignore[dict-item]
    became(tab, "SMS Link Clicked")
    tab.see("further values")
    assert tab.page.locator("section.profile tr").count() < 500
    tab.check_width()


def test_the_whole_mapping_can_be_searched(start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(without_a_cluster()), "/mapping")
    search = tab.page.get_by_label("Search")
    search.fill("recipient phone corrected")
    tab.see("2 fields, 0 names of events")
    expect(tab.page.get_by_role("region", name="Fields of an event").locator("tbody tr")).to_have_count(2)
    search.fill("<img src=x onerror=alert(1)>")
    tab.see("0 fields, 0 names of events")
    tab.check_accessibility()


def _theme(name: str) -> Theme:
    return "dark" if name == "dark" else "light"
