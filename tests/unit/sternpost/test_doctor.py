"""The doctor's questions to clusters that do not tell: it says so, claims nothing, and never crashes."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError

from runtime.errors import ConfigurationError
from runtime.kafka.admin import KafkaAdmin
from runtime.settings.loader import load
from sternpost.cli.main import cli
from sternpost.operations import acls, topics
from sternpost.operations.doctor import cluster, registry, rights
from sternpost.operations.doctor.check import Check
from sternpost.operations.severity import Severity
from sternpost.operations.status import snapshot
from tests.support.fake_admin import FakeAdmin, future

ALL = load(None, {})
TOLD = {
    "process.roles": "broker",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.max.timeout.ms": "900000",
    "group.max.session.timeout.ms": "1800000",
    "group.min.session.timeout.ms": "6000",
    "offsets.retention.minutes": "10080",
    "authorizer.class.name": "",
}


class Admin(FakeAdmin):
    acls: Any = ()

    def describe_acls(self, *_: Any, **__: Any) -> Any:
        return future(self.acls)

    def describe_topics(self, found: Any, **_: Any) -> Any:
        unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        described = SimpleNamespace(authorized_operations=None)
        return {name: future(described if name in self.topics else unknown) for name in found.topic_names}


def examine(monkeypatch: pytest.MonkeyPatch, admin: Admin, role: acls.Role | None = None) -> list[Check]:
    monkeypatch.setattr("runtime.kafka.admin.make_admin", lambda _: admin)

    def checks() -> Iterator[Check]:
        found = cluster.metadata(ALL)
        configs, problem = cluster.broker_configs(ALL, list(found.brokers))
        yield from cluster.check(ALL, found, configs, problem)
        yield from cluster.check_topics(ALL)
        yield from rights.check(ALL, role, configs)

    return list(checks())


@pytest.mark.parametrize("missing", TOLD)
@pytest.mark.parametrize("value", ["absent", None, ""])
def test_a_broker_setting_that_is_not_told(monkeypatch: pytest.MonkeyPatch, missing: str, value: str | None) -> None:
    config: dict[str, str | None] = {name: text for name, text in TOLD.items() if name != missing}
    if value != "absent":
        config[missing] = value
    checks = examine(monkeypatch, Admin(brokers={1: config, 2: config, 3: config}))
    assert [check.detail for check in checks if check.severity is Severity.FAULT] == [
        f"{name}: it does not exist" for name in topics.names(ALL)
    ]
    silent = [check for check in checks if check.severity is Severity.SKIPPED and "does not tell" in check.detail]
    if missing == "authorizer.class.name" and value == "":
        assert not silent, "no authorizer is what it tells"
    elif missing != "group.min.session.timeout.ms" and (missing, value) != ("process.roles", ""):
        assert silent


@pytest.mark.parametrize(
    "told", [{}, KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED), KafkaError(KafkaError.UNSUPPORTED_VERSION)]
)
def test_a_cluster_that_tells_nothing_of_its_brokers_is_not_said_to_be_right(
    monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    admin = Admin(
        {**{name: {} for name in topics.names(ALL)}, "__consumer_offsets": {}}, brokers={1: told}, partitions=0
    )
    checks = examine(monkeypatch, admin, acls.Role.PROCESSOR)
    by_name = {check.name: check.severity for check in checks}
    for name in ("broker version", "broker settings", "state of offsets", "authorizer", "rights"):
        assert by_name[name] is Severity.SKIPPED, name
    assert by_name["topics"] is Severity.WARNING
    assert Severity.FAULT not in by_name.values()


@pytest.mark.parametrize(
    ("answer", "verdict", "word"),
    [
        (KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED), Severity.SKIPPED, "one is on"),
        (KafkaError(KafkaError.UNSUPPORTED_VERSION), Severity.SKIPPED, "cannot be seen"),
        (KafkaError(KafkaError.SECURITY_DISABLED), Severity.WARNING, "none is on"),
        ((), Severity.WARNING, "none is on"),
        (("an ACL",), Severity.OK, "1 ACL"),
    ],
)
def test_an_authorizer_is_claimed_only_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: Any, verdict: Severity, word: str
) -> None:
    admin = Admin(brokers={1: TOLD})
    admin.acls = answer
    [check] = [check for check in examine(monkeypatch, admin) if check.name == "authorizer"]
    assert (check.severity, word in check.detail) == (verdict, True)


def test_a_wrong_property_of_the_registrys_client_ends_doctor_and_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 78, as in the commands that need the registry: it is a setting, not something found on the cluster."""
    missing = {"ssl.certificate.location": str(tmp_path / "none.pem"), "ssl.key.location": str(tmp_path / "none.key")}
    settings = load(None, {"schema_registry.url": "https://127.0.0.1:1", "schema_registry.properties": missing})
    with pytest.raises(ConfigurationError, match=r"ssl\.certificate\.location"):
        list(registry.check(settings))
    monkeypatch.setattr(snapshot, "_newest_schema_id", lambda *_: None)
    with pytest.raises(ConfigurationError, match=r"ssl\.certificate\.location"):
        snapshot.StatusCollector(settings)._schema(KafkaAdmin(settings))


@pytest.mark.parametrize(
    ("protocol", "severity"),
    [
        ("2.4-IV1", Severity.FAULT),
        ("2.8-IV1", Severity.WARNING),
        ("3.0-IV1", Severity.OK),
        ("3.9-IV0", Severity.OK),
        (None, Severity.OK),
    ],
)
def test_a_broker_that_is_older_than_what_is_tested(
    monkeypatch: pytest.MonkeyPatch, protocol: str | None, severity: Severity
) -> None:
    config: dict[str, str | None] = {**TOLD, **({"inter.broker.protocol.version": protocol} if protocol else {})}
    checks = examine(monkeypatch, Admin(brokers={1: config}))
    assert {check.severity for check in checks if check.name == "broker version"} == {severity}


def test_the_endpoint_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def checks(*_: object, url: str | None, **__: object) -> list[Check]:
        asked.append(url)
        return []

    monkeypatch.setattr("sternpost.cli.doctor.run_checks", checks)
    for options in ([], ["--no-endpoint"], ["--url", "http://a"]):
        assert CliRunner().invoke(cli, ["doctor", *options]).exit_code == 0
    assert asked == ["http://127.0.0.1:8080/v1/webhook", None, "http://a"]
    for options in (["--send"], ["--url", "http://a"]):
        assert CliRunner().invoke(cli, ["doctor", "--no-endpoint", *options]).exit_code == 2
    assert len(asked) == 3
