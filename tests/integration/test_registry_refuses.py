"""A registry that refuses us, or is none: one clear error of every command, and no crash in a circle."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import Settings, TopicSettings
from schemas.avro.wire_format import frame
from schemas.track_event import load_schema
from sternpost.local.services import environment_for
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker, idempotent_producer
from tests.support.registry_answers import LASTING
from tests.support.scripted_http import answering
from tests.support.waiting import PATIENCE_S

ANOTHER = {"type": "record", "name": "Another", "fields": [{"name": "a", "type": "string"}]}


def test_a_refused_schema_ends_the_processor(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, tmp_path: Path
) -> None:
    topics = make_topics()
    settings = make_settings(topics, schema_registry={"url": kafka.registry_url, "auto_register": True})
    with Registry(settings.schema_registry) as registry:
        registry.register(subject_of(topics.events), ANOTHER)
    ended = processor(settings, tmp_path)
    assert ended.returncode == 69
    assert "incompatible" in ended.stderr
    assert "topics.events" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("kind", ["Apicurio without its path", "Karapace without credentials", "a page"])
def test_what_does_not_pass_by_itself_ends_the_processor(
    make_topics: TopicMaker, make_settings: SettingsMaker, tmp_path: Path, kind: str
) -> None:
    answer, error, problem, mend = LASTING[kind]
    with answering(answer) as server:
        settings = make_settings(make_topics(), schema_registry={"url": server.url})
        ended = processor(settings, tmp_path)
    assert ended.returncode == error.exit_code == 78
    assert problem in ended.stderr
    assert mend in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_real_registrys_address_without_its_path_is_said_by_every_command(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, tmp_path: Path
) -> None:
    parts = urlsplit(kafka.registry_url)
    if not parts.path.strip("/"):
        pytest.skip("this registry has no path that could be forgotten")
    settings = make_settings(make_topics(), schema_registry={"url": f"{parts.scheme}://{parts.netloc}"})
    with Registry(
        make_settings(TopicSettings(), schema_registry={"url": kafka.registry_url}).schema_registry
    ) as registry:
        registered = registry.register(subject_of(settings.topics.events), load_schema())
    producer = idempotent_producer(kafka.bootstrap_servers)
    producer.produce(settings.topics.events, frame(registered.id) + b"\0", partition=0)
    producer.produce(settings.topics.raw, b"{}", partition=0)
    assert producer.flush(PATIENCE_S) == 0
    for words in (
        ["schema", "check"],
        ["schema", "register"],
        ["tail", "--from-beginning", "--no-follow"],
        ["replay", "--from", "beginning", "--to-topic", f"{settings.topics.events}.again"],
        ["process"],
    ):
        ended = run(settings, tmp_path, *words)
        assert ended.returncode == 78, (words, ended.stderr)
        assert "does not know the path" in ended.stderr, words
        assert "/apis/ccompat/v7" in ended.stderr, words
        assert "Traceback" not in ended.stderr, words
    status = run(settings, tmp_path, "status", "--json")
    assert "/apis/ccompat/v7" in json.loads(status.stdout)["schema"]["problem"]
    doctor = run(settings, tmp_path, "doctor", "--json", "--url", "http://127.0.0.1:1/")
    [check] = [check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "schema registry"]
    assert (check["verdict"], "/apis/ccompat/v7" in check["mend"]) == ("fault", True)


def processor(settings: Settings, folder: Path) -> "subprocess.CompletedProcess[str]":
    return run(settings, folder, "process")


def run(settings: Settings, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command to its end."""
    return subprocess.run(
        [Path(sys.executable).with_name("sternpost"), *words],
        env=environment_for(settings),
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
