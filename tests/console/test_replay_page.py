"""The page Replay, in a real browser; a reader of the topics judges what a replay wrote."""

import re
from collections import Counter
from collections.abc import Sequence

import orjson
import pytest
from click.testing import CliRunner
from playwright.sync_api import expect

from runtime.kafka import range_consumer
from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import Settings
from schemas import record_headers
from schemas.track_event import EventReader, load_schema
from sternpost.cli.main import cli
from sternpost.console.live_events import LiveEvents
from sternpost.console.monitor import Monitor
from sternpost.console.replay_run import ReplayRequest, ReplayRun, Target
from sternpost.console.shared import Console
from sternpost.local import samples
from sternpost.operations.changes_allowed import ChangesNotAllowedError
from tests.console.console import PHONE, ConsoleStarter, Tab, Tabs, without_a_cluster
from tests.support.kafka import SettingsMaker, TopicMaker, idempotent_producer
from tests.support.settled import settle

RECORDS = 60
LONG_MS = 300_000
"""For a replay that is slow on purpose, on a machine that is busy with others."""


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    found = make_settings(make_topics(partitions=2))
    with Registry(found.schema_registry) as registry:
        registry.register(subject_of(found.topics.events), load_schema())
    return found


def receive(settings: Settings, count: int = RECORDS) -> list[str]:
    """Write raw records of email and SMS, as ingest does, and return their event ids."""
    producer = idempotent_producer(settings.kafka.bootstrap_servers)
    bodies = [samples.payload(index, people=11) for index in range(count)]
    for body in bodies:
        producer.produce(settings.topics.raw, orjson.dumps(body), key="u", headers={record_headers.SOURCE: "test"})
    assert producer.flush(60) == 0
    return [body["event_id"] for body in bodies]


def process(settings: Settings) -> None:
    """Have the events of the raw records in the events topic."""
    options = [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        f"--set=schema_registry.url={settings.schema_registry.url}",
        f"--set=processor.group_id={settings.processor.group_id}",
        *(f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()),
    ]
    done = CliRunner().invoke(cli, [*options, "replay", "--from", "beginning", "--live"])
    assert done.exit_code == 0, done.output


def written(settings: Settings, topic: str) -> Counter[str]:
    """Count what a read_committed reader finds in a topic, by `messageId`."""
    settle(settings, topic)
    with Registry(settings.schema_registry) as registry:
        decode = EventReader(registry.schema)
        return Counter(decode(message.value() or b"")["messageId"] for message in range_consumer.read(settings, topic))


def corrected(settings: Settings) -> Settings:
    return settings.model_copy(update={"processor": settings.processor.model_copy(update={"profile": "corrected"})})


def press(tab: Tab, name: str) -> None:
    tab.page.get_by_role("button", name=name, exact=True).click()


def dry_run(tab: Tab, fields: Sequence[tuple[str, str]] = (("From", "beginning"),)) -> None:
    for label, text in fields:
        tab.page.get_by_label(label, exact=True).fill(text)
    press(tab, "Dry run")
    tab.page.get_by_role("heading", name="What would change", exact=True).wait_for()


def test_a_dry_run_shows_the_differences_field_by_field(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    receive(settings)
    process(settings)
    before = written(settings, settings.topics.events)
    console = start_console(corrected(settings))
    for theme, width in (("light", 1280), ("dark", PHONE)):
        tab = open_tab(console, "/replay", theme="dark" if theme == "dark" else "light", width=width)
        dry_run(tab)
        tab.see(f"{RECORDS} raw records, compared with {settings.topics.events}")
        tab.check_accessibility()
        tab.check_width()
    fields = tab.page.get_by_role("region", name="Fields that would change")
    expect(fields).to_contain_text("sentAt")
    expect(fields).to_contain_text("context.traits.phone")
    command = tab.page.locator(".page-head .command")
    expect(command).to_have_text(re.compile("replay --from beginning --to end --dry-run$"))
    phones = fields.get_by_role("button", name="Show the context.traits.phone")
    assert "+1555" not in fields.inner_text()
    phones.first.click()
    fields.get_by_text("+1555").first.wait_for()
    console.logged("context.traits.phone")
    assert "+1555" not in console.log
    assert written(settings, settings.topics.events) == before

    dry_run(tab, [("Object types", "sms"), ("Sources", "test, other")])
    expect(command).to_contain_text("--source test --source other --object-type sms")
    tab.page.get_by_text(f"{RECORDS} raw records").wait_for(state="detached")


def test_a_replay_that_is_stopped_goes_on_and_writes_each_event_once(
    settings: Settings, make_topics: TopicMaker, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    ids = receive(settings)
    target = make_topics.one(1)
    console = start_console(settings, "--allow-changes")
    tab = open_tab(console, "/replay")
    expect(tab.page.get_by_role("button", name="Replay", exact=True), "it was not tried").to_be_disabled()
    dry_run(tab)
    press(tab, "Replay")
    tab.see("name the topic to write to")
    tab.page.get_by_label("Topic", exact=True).fill(target)
    tab.page.get_by_label("Records a second").fill("2")  # so that a busy browser can press Stop before its end
    tab.see(f"replay --from beginning --to end --to-topic {target} --rate 2")
    press(tab, "Replay")
    press(tab, "Stop")
    tab.see("Stopped; it goes on where it stopped.")
    tab.check_accessibility()
    assert written(settings, target).total() < RECORDS
    tab = open_tab(console, "/replay")
    press(tab, "Go on")
    tab.page.get_by_text("it went on where it had stopped").wait_for(timeout=LONG_MS)
    assert written(settings, target) == Counter(ids)

    dry_run(tab)
    tab.page.get_by_label("Topic", exact=True).fill(target)
    press(tab, "Replay")
    tab.see("has finished, and would write its events a second time")
    assert written(settings, target) == Counter(ids)
    assert not written(settings, settings.topics.events)


def test_a_replay_to_the_topic_that_sinks_read(
    settings: Settings, start_console: ConsoleStarter, open_tab: Tabs
) -> None:
    ids = receive(settings)
    tab = open_tab(start_console(settings, "--allow-changes"), "/replay")
    dry_run(tab)
    tab.see(f"{RECORDS} added")
    tab.page.get_by_label("Write to").click()
    tab.page.get_by_role("option", name="sinks read the events again").click()
    tab.see("replay --from beginning --to end --live")
    press(tab, "Replay")
    tab.see(f"{RECORDS} events written to {settings.topics.events}")
    assert written(settings, settings.topics.events) == Counter(ids)


def test_a_read_only_console_writes_nothing(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    receive(settings)
    tab = open_tab(start_console(settings), "/replay")
    tab.see("This console is read-only")
    dry_run(tab)
    expect(tab.page.get_by_role("button", name="Replay", exact=True)).to_be_disabled()
    run = ReplayRun(
        Console(settings, None, Monitor(settings), LiveEvents(settings)),
        ReplayRequest("beginning", "end"),
        Target(None),
    )
    with pytest.raises(ChangesNotAllowedError):
        run._work(run._stop, lambda *_: None)
    assert not written(settings, settings.topics.events)


def test_what_cannot_be_done_is_said(settings: Settings, start_console: ConsoleStarter, open_tab: Tabs) -> None:
    tab = open_tab(start_console(settings, "--allow-changes"), "/replay")
    for start, partitions, said in (
        ("last week", "", "is not a place in a topic"),
        ("beginning", "x", "give partitions as numbers"),
        ("beginning", "9", "has partitions 0 to 1, and no 9"),
        ("beginning", "", "is empty"),
    ):
        tab.page.get_by_label("From", exact=True).fill(start)
        tab.page.get_by_label("Partitions").fill(partitions)
        press(tab, "Dry run")
        tab.see(said)
        expect(tab.page.get_by_role("button", name="Replay", exact=True), "the dry run failed").to_be_disabled()
    tab.check_accessibility()
    away = open_tab(start_console(without_a_cluster()), "/replay")
    press(away, "Dry run")
    away.see("no Kafka broker at 127.0.0.1:1 answers")

    receive(settings)
    process(settings)
    registry = settings.schema_registry.model_copy(update={"url": "http://127.0.0.1:1"})
    without = open_tab(start_console(settings.model_copy(update={"schema_registry": registry})), "/replay")
    without.page.get_by_label("From", exact=True).fill("beginning")
    press(without, "Dry run")
    without.see("schema registry")
