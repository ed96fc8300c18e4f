"""`sternpost doctor` on a real cluster: quiet where all is well, and each fault found with its mend."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from runtime.errors import KafkaRequestError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin, NewTopic, missing_topics
from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import Settings, TopicSettings
from sternpost.cli.main import cli
from sternpost.local import services
from sternpost.operations import topics
from sternpost.operations.acls import Role
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor import clock, cluster, endpoint, lag, registry, rights
from sternpost.operations.doctor.check import Check
from sternpost.operations.severity import Severity
from tests.support.kafka import SIGNING_KEY, WRITE_KEY, Kafka, SettingsMaker, idempotent_producer
from tests.support.serving import serving
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
def settings(kafka: Kafka, make_settings: SettingsMaker) -> Iterator[Settings]:
    """For topics that are not there yet."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    names = {"raw": f"{prefix}.raw", "events": f"{prefix}.events", "dead_letters": f"{prefix}.dead-letters"}
    settings = make_settings(TopicSettings(**names, partitions=2, replication_factor=1, min_insync_replicas=1))
    yield settings
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for gone in admin.delete_topics(list(names.values())).values():
        gone.exception(PATIENCE_S)


def by_verdict(checks: Iterator[Check], verdict: Severity) -> dict[str, Check]:
    return {check.name: check for check in checks if check.severity is verdict}


def of_cluster(settings: Settings) -> Iterator[Check]:
    found = cluster.metadata(settings)
    return cluster.check(settings, found, *cluster.broker_configs(settings, list(found.brokers)))


def test_all_is_well_and_an_event_comes_through_with_every_key(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "ARRIVAL_S", PATIENCE_S)
    keys = {"write_keys": [WRITE_KEY, "next-key"], "signing_keys": [SIGNING_KEY, "next-signing-key"]}
    with services.running(
        settings.model_copy(update={"sources": [type(settings.sources[0])(name="test", **keys)]}),
        own_cluster=True,
        data_dir=tmp_path,
    ) as running:
        result = CliRunner().invoke(
            cli, [*options(running.settings), "doctor", "--send", "--json", "--url", running.url]
        )
        unsent = CliRunner().invoke(cli, [*options(running.settings), "doctor", "--url", running.url])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["faults"] == 0
    assert set(found["checks"][0]) == {"name", "verdict", "detail", "mend"}
    assert {check["name"] for check in found["checks"] if check["verdict"] == "ok"} >= {
        *("client version", "brokers", "broker version", "broker settings", "replicas", "topics", "clocks"),
        *("state of transactions", "state of offsets", "schema", "compatibility", "endpoint", "source test"),
        *("processor", "lag"),
    }
    # The local stack's broker has no authorizer, and that is worth a word.
    assert {check["name"] for check in found["checks"] if check["verdict"] != "ok"} == {"authorizer"}
    # Four pairs of keys sent one event: all in raw, and one event out.
    raw, out = (list(range_consumer.read(settings, topic)) for topic in (settings.topics.raw, settings.topics.events))
    assert (len(raw), len(out)) == (4, 1)

    assert unsent.exit_code == 0, unsent.output
    assert "--send checks it" in unsent.stdout
    assert "none is on" in unsent.stdout
    assert len(list(range_consumer.read(settings, settings.topics.raw))) == 4, "without --send nothing is sent"


def options(settings: Settings) -> list[str]:
    sources = [
        {
            "name": source.name,
            "write_keys": [key.get_secret_value() for key in source.write_keys],
            "signing_keys": [key.get_secret_value() for key in source.signing_keys],
        }
        for source in settings.sources
    ]
    return [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        f"--set=schema_registry.url={settings.schema_registry.url}",
        f"--set=processor.group_id={settings.processor.group_id}",
        f"--set=sources={json.dumps(sources)}",
        *(
            f"--set=topics.{name}={json.dumps(value) if isinstance(value, list) else value}"
            for name, value in settings.topics.model_dump().items()
        ),
    ]


def test_what_is_missing_is_found_with_the_command_that_makes_it(settings: Settings) -> None:
    result = CliRunner().invoke(cli, [*options(settings), "doctor", "--json", "--url", "http://127.0.0.1:1/v1/webhook"])
    assert result.exit_code == 1
    faults: dict[str, list[dict[str, Any]]] = {}
    for check in json.loads(result.stdout)["checks"]:
        if check["verdict"] == "fault":
            faults.setdefault(check["name"], []).append(check)
    assert set(faults) == {"topics", "schema", "endpoint"}
    assert len(faults["topics"]) == 3
    assert all("sternpost topics create" in check["mend"] for check in faults["topics"])
    assert "sternpost schema register" in faults["schema"][0]["mend"]
    assert "sternpost ingest" in faults["endpoint"][0]["mend"]


def test_more_replicas_wanted_than_transactions_have(settings: Settings) -> None:
    wanted = settings.topics.model_copy(update={"replication_factor": 3, "min_insync_replicas": 2})
    stricter = settings.model_copy(update={"topics": wanted})
    faults = [check for check in of_cluster(stricter) if check.severity is Severity.FAULT]
    assert {check.name for check in faults} >= {"broker settings"}
    assert [check for check in faults if "transaction.state.log.min.isr is 1, and should be at least 2" in check.detail]
    assert all(check.remedy for check in faults)


def test_time_outs_that_the_brokers_do_not_allow(settings: Settings) -> None:
    long = settings.model_copy(
        update={"processor": settings.processor.model_copy(update={"transaction_timeout_ms": 3_600_000})}
    )
    details = [check.detail for check in of_cluster(long) if check.severity is Severity.FAULT]
    assert [detail for detail in details if "transaction.max.timeout.ms" in detail]


def test_a_topic_with_a_wrong_setting(settings: Settings) -> None:
    topics.create(settings, ChangesAllowed())
    entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.topics.raw, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(PATIENCE_S)
    finding = until(lambda: by_verdict(cluster.check_topics(settings), Severity.FAULT))[
        "topics"
    ]  # heard of in a moment
    assert "--add-config cleanup.policy=delete" in finding.remedy


def test_a_processor_so_far_behind_that_retention_may_overtake_it(settings: Settings) -> None:
    half_ms = settings.topics.raw_retention_ms // 2
    topics.create(settings, ChangesAllowed())
    assert set(by_verdict(lag.check(settings), Severity.WARNING)) == {"processor"}
    now = int(time.time() * 1000)
    producer = idempotent_producer(settings.kafka.bootstrap_servers)
    for age_ms in (half_ms + 3_600_000, half_ms - 3_600_000):
        producer.produce(settings.topics.raw, b"{}", partition=0, timestamp=now - age_ms)
    assert producer.flush(PATIENCE_S) == 0
    late = by_verdict(lag.check(settings), Severity.WARNING)["lag"]
    assert f"raise retention.ms of {settings.topics.raw}" in late.remedy

    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": settings.processor.group_id}
    )
    consumer.commit(offsets=[TopicPartition(settings.topics.raw, 0, 1)], asynchronous=False)
    consumer.close()
    assert by_verdict(lag.check(settings), Severity.OK)["lag"].detail.startswith("1 records behind")

    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for gone in admin.delete_records([TopicPartition(settings.topics.raw, 0, 2)]).values():
        gone.result(PATIENCE_S)
    [lost] = [check for check in lag.check(settings) if check.severity is Severity.FAULT]
    assert "retention removed 1 records" in lost.detail


def test_a_clock_that_differs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    create = KafkaAdmin.create_topics

    def noted(admin: KafkaAdmin, new: Sequence[NewTopic], **options: bool) -> dict[str, KafkaRequestError]:
        made.extend(topic.topic for topic in new)
        return create(admin, new, **options)

    monkeypatch.setattr(KafkaAdmin, "create_topics", noted)
    brokers = sorted(cluster.metadata(settings).brokers)
    now = time.time_ns
    for ahead_s, verdict in ((0, Severity.OK), (60, Severity.WARNING), (-60, Severity.WARNING), (600, Severity.FAULT)):
        monkeypatch.setattr(time, "time_ns", lambda ahead_s=ahead_s: now() + ahead_s * 1_000_000_000)
        [check] = clock.check(settings, ChangesAllowed(), brokers)
        assert check.severity is verdict
        if ahead_s:
            assert ("behind" if ahead_s > 0 else "ahead of") in check.detail
    assert len(made) == 4
    until(lambda: made == missing_topics(settings, made))


def test_rights_are_seen_where_there_is_no_authorizer(settings: Settings) -> None:
    topics.create(settings, ChangesAllowed())
    configs, _ = cluster.broker_configs(settings, list(cluster.metadata(settings).brokers))
    for role in Role:
        assert set(by_verdict(rights.check(settings, role, configs), Severity.OK)) == {"rights"}


def test_a_registry_that_would_let_sinks_be_broken(settings: Settings) -> None:
    with Registry(settings.schema_registry) as client:
        foreign_schema = {"type": "record", "name": "Foreign", "fields": [{"name": "a", "type": "int"}]}
        client.register(subject_of(settings.topics.events), foreign_schema)
    [foreign] = registry.check(settings)
    assert foreign.severity is Severity.FAULT
    assert "incompatible" in foreign.detail

    away = settings.model_copy(
        update={"schema_registry": settings.schema_registry.model_copy(update={"url": "http://127.0.0.1:1"})}
    )
    [unreachable] = registry.check(away)
    assert unreachable.severity is Severity.FAULT
    assert "schema_registry.url" in unreachable.remedy


@pytest.mark.parametrize(("status", "word"), [(503, "draining"), (200, "not 401"), (404, "not 401")])
def test_an_endpoint_that_answers_wrongly(settings: Settings, status: int, word: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        url = f"http://127.0.0.1:{server.server_address[1]}/v1/webhook"
        [check] = endpoint.check(settings, ChangesAllowed(), url, send=False)
    assert check.severity is Severity.FAULT
    assert word in check.detail


def test_each_broker_is_asked_for_its_settings_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client refuses a question about two."""
    asked: list[list[str]] = []

    def describe_configs(_: object, resources: list[ConfigResource], **__: Any) -> dict[ConfigResource, Future[Any]]:
        asked.append([resource.name for resource in resources])
        answer: Future[Any] = Future()
        answer.set_result({})
        return dict.fromkeys(resources, answer)

    monkeypatch.setattr(AdminClient, "describe_configs", describe_configs)
    assert cluster.broker_configs(settings, [1, 2, 3]) == ({1: {}, 2: {}, 3: {}}, "this cluster does not tell them")
    assert asked == [["1"], ["2"], ["3"]]
