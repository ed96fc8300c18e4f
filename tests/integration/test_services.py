"""The whole of it on this machine, as `sternpost dev` and `sternpost demo` run it."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from schemas.track_event import EventReader
from sternpost.local import services
from sternpost.local.customerio_simulator import WebhookFeed
from sternpost.local.process import watch
from tests.integration.test_local_stack import dev
from tests.support.kafka import SettingsMaker, TopicMaker
from tests.support.waiting import PATIENCE_S, ended, until

BODY = b'{"event_id":"1","object_type":"email","metric":"opened","timestamp":1700000000,\
"data":{"customer_id":"c","identifiers":{"id":"c"}}}'


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    return make_settings(make_topics())


def send(running: services.Services) -> bool:
    source = running.settings.sources[0]
    feed = WebhookFeed(running.url, source.write_keys[0].get_secret_value(), source.signing_keys[0].get_secret_value())
    try:
        return feed.send(BODY)
    finally:
        feed.close()


def test_what_is_sent_comes_out_and_both_services_end_well(settings: Settings, tmp_path: Path) -> None:
    with services.running(settings, own_cluster=True, data_dir=tmp_path) as running:
        assert send(running)
        event = next(range_consumer.read(settings, settings.topics.events, follow=True, idle_s=PATIENCE_S))
        read = EventReader.of_newest()(event.value() or b"")
        assert read["messageId"] == "1"
        assert read["context"]["origin"]["topic"] == settings.topics.raw
        assert event.headers() is None
        processes = running.processes
    assert [process.exit_code for process in processes] == [0, 0]
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"ingest.log", "process.log"}


def test_a_source_is_made_up_where_there_is_none(settings: Settings) -> None:
    without = settings.model_copy(update={"sources": []})
    with services.running(without, own_cluster=True) as running:
        assert running.source_made_up
        assert send(running)


def test_a_service_that_ends_is_an_error_with_the_end_of_its_log(settings: Settings, tmp_path: Path) -> None:
    with services.running(settings, own_cluster=True, data_dir=tmp_path) as running:
        running.processes[-1].kill()
        with pytest.raises(DependencyError, match="sternpost process ended with exit code -9") as raised:
            watch(running.processes)
    assert str(tmp_path / "logs/process.log") in str(raised.value)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_dev(tmp_path: Path, how: signal.Signals) -> None:
    if how is signal.SIGKILL and sys.platform != "linux":
        pytest.skip("the kernel's notice of a parent's death is Linux's")
    with dev(TMPDIR=str(tmp_path)) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 6  # two servers, two services with a worker each
        process.send_signal(how)
        code = process.wait(PATIENCE_S)
    until(lambda: all(map(ended, children)))
    if how is not signal.SIGKILL:
        assert code == 0
        assert [name for name in os.listdir(tmp_path) if not name.startswith("sternpost-metrics-")] == []
