"""The topics on a real broker: created, checked, and given more partitions."""

import json
import uuid

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from runtime.errors import CheckFailedError, DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.admin import check_topics
from runtime.kafka.config import record_limits
from runtime.settings.loader import load
from runtime.settings.model import Settings
from sternpost.cli.main import cli
from sternpost.operations import topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.severity import Severity
from tests.support.kafka import Kafka
from tests.support.settled import settle
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
def settings(kafka: Kafka) -> Settings:
    """For topics that are not there."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    return load(
        None,
        {
            "kafka.bootstrap_servers": kafka.bootstrap_servers,
            "topics.raw": f"{name}.raw",
            "topics.events": f"{name}.events",
            "topics.dead_letters": f"{name}.dead-letters",
            "topics.replication_factor": 1,
            "topics.min_insync_replicas": 1,
            "topics.partitions": 3,
        },
    )


def options(settings: Settings) -> list[str]:
    return [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        *(
            f"--set=topics.{name}={json.dumps(value) if isinstance(value, list) else value}"
            for name, value in settings.topics.model_dump().items()
        ),
    ]


OMITTED = ['--set=topics.omit_configs=["retention.ms", "unclean.leader.election.enable"]']


def test_what_is_created_passes_the_check_and_creating_again_changes_nothing(settings: Settings) -> None:
    missing = topics.check(settings)
    assert [(f.topic, f.remedy) for f in missing] == [
        (name, "`sternpost topics create`") for name in topics.names(settings)
    ]
    with pytest.raises(DependencyError, match="sternpost topics create"):
        check_topics(settings, topics.names(settings))
    try:
        assert topics.create(settings, ChangesAllowed()) == topics.names(settings)
        assert topics.create(settings, ChangesAllowed()) == []
        assert topics.check(settings) == []
        check_topics(settings, topics.names(settings))
    finally:
        topics.remove(settings, ChangesAllowed())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max.message.bytes", "1000"),
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", "60000"),
        ("unclean.leader.election.enable", "true"),
    ],
)
def test_a_setting_that_breaks_a_promise_is_found_with_its_mend(settings: Settings, name: str, value: str) -> None:
    topics.create(settings, ChangesAllowed())
    try:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, settings.topics.raw, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
        for altered in admin.incremental_alter_configs([resource]).values():
            altered.result(PATIENCE_S)
        (finding,) = until(lambda: topics.check(settings))  # brokers learn of the change a moment later
        assert finding.topic == settings.topics.raw
        assert f"{name} is {value}" in finding.problem
        assert f"--add-config {name}=" in finding.remedy
    finally:
        topics.remove(settings, ChangesAllowed())


def test_a_larger_body_limit_asks_for_larger_topics(settings: Settings) -> None:
    topics.create(settings, ChangesAllowed())
    try:
        larger = load(None, {**_dotted(settings), "ingest.max_body_bytes": 4_000_000})
        found = {finding.topic: finding.problem for finding in topics.check(larger)}
        assert set(found) == set(topics.names(settings))
        assert str(record_limits(larger).raw) in found[settings.topics.raw]
    finally:
        topics.remove(settings, ChangesAllowed())


def test_more_replicas_than_brokers_is_one_clear_error(settings: Settings) -> None:
    many = load(None, {**_dotted(settings), "topics.replication_factor": 40})
    with pytest.raises(DependencyError) as caught:
        topics.create(many, ChangesAllowed())
    brokers = len(
        AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers}).list_topics(timeout=PATIENCE_S).brokers
    )
    assert f"the cluster has {brokers} broker" in str(caught.value)
    assert "topics.replication_factor is 40" in str(caught.value)
    assert "topics.min_insync_replicas" in str(caught.value)
    assert len(topics.check(settings)) == 3, "none was made"


def test_a_setting_that_the_brokers_refuse_is_named_and_leaves_no_topic(settings: Settings) -> None:
    impossible = load(None, {**_dotted(settings), "topics.events_retention_ms": -5})
    with pytest.raises(DependencyError) as caught:
        topics.create(impossible, ChangesAllowed())
    assert "retention.ms=-5" in str(caught.value)
    assert "change topics.events_retention_ms" in str(caught.value)
    assert 'topics.omit_configs=["retention.ms"]' in str(caught.value)
    assert {finding.problem for finding in topics.check(settings)} == {"it does not exist"}


def test_what_is_left_to_the_cluster_is_not_sent(settings: Settings) -> None:
    left = load(
        None,
        {**_dotted(settings), "topics.omit_configs": ["retention.ms", "unclean.leader.election.enable"]},
    )
    try:
        topics.create(left, ChangesAllowed())
        admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
        [described] = admin.describe_configs([ConfigResource(ResourceType.TOPIC, settings.topics.raw)]).values()
        entries = described.result(PATIENCE_S)
        assert entries["retention.ms"].is_default
        assert not entries["max.message.bytes"].is_default
        findings = topics.check(left)
        assert {finding.severity for finding in findings} == {Severity.WARNING}
        check = CliRunner().invoke(cli, [*options(settings), *OMITTED, "topics", "check"])
        assert (check.exit_code, "topics.omit_configs" in check.stdout) == (0, True)
        assert CliRunner().invoke(cli, [*options(settings), "topics", "check"]).exit_code == 1
    finally:
        topics.remove(settings, ChangesAllowed())


def test_the_clusters_own_number_of_replicas(settings: Settings) -> None:
    own = load(None, {**_dotted(settings), "topics.replication_factor": -1})
    try:
        assert topics.create(own, ChangesAllowed()) == topics.names(settings)
        assert topics.check(own) == []
    finally:
        topics.remove(settings, ChangesAllowed())


def test_the_command_line_creates_checks_and_exits_as_scripts_need_it(settings: Settings) -> None:
    run = CliRunner().invoke
    check = run(cli, [*options(settings), "topics", "check", "--json"])
    assert check.exit_code == 1
    assert len(json.loads(check.stdout)["findings"]) == 3
    try:
        create = run(cli, [*options(settings), "topics", "create", "--json"])
        assert create.exit_code == 0
        assert json.loads(create.stdout) == {"created": topics.names(settings), "existed": []}
        assert run(cli, [*options(settings), "topics", "check"]).exit_code == 0
    finally:
        topics.remove(settings, ChangesAllowed())


def test_topics_grow_when_nothing_is_on_its_way(settings: Settings) -> None:
    def grow(*arguments: str) -> Result:
        others = ["--set=ingest.admin_port=1", f"--set=processor.group_id={settings.topics.raw}"]
        return CliRunner().invoke(cli, [*options(settings), *others, "topics", "grow", "--json", *arguments])

    topics.create(settings, ChangesAllowed())
    try:
        raw = settings.topics.raw
        producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "transactional.id": raw})
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        producer.produce(raw, b"{}", partition=0)
        producer.flush(PATIENCE_S)
        producer.abort_transaction(PATIENCE_S)
        settle(settings)
        assert json.loads(grow("--partitions", "3").stdout)["grown"] == {}  # nobody ever gets what was aborted
        producer.begin_transaction()
        producer.produce(raw, b"{}", partition=1)
        producer.commit_transaction(PATIENCE_S)
        settle(settings)
        refused = grow("--partitions", "5").exception
        assert isinstance(refused, CheckFailedError)
        assert "2 records" in str(refused)
        assert json.loads(grow("--partitions", "5", "--force").stdout) == {
            "partitions": 5,
            "grown": dict.fromkeys(topics.names(settings), 3),
        }
        until(
            lambda: (
                [len(range_consumer.topic_partitions(settings, name)) for name in topics.names(settings)] == [5, 5, 5]
            )
        )
        assert json.loads(grow("--partitions", "5", "--force").stdout)["grown"] == {}
        assert isinstance(grow("--partitions", "4", "--force").exception, DependencyError)
    finally:
        topics.remove(settings, ChangesAllowed())


def _dotted(settings: Settings) -> dict[str, object]:
    return {
        "kafka.bootstrap_servers": settings.kafka.bootstrap_servers,
        **{f"topics.{name}": value for name, value in settings.topics.model_dump().items()},
    }
