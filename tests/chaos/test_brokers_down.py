"""What an operator's commands say while most brokers are down."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from runtime.errors import DependencyError
from runtime.kafka import admin, synchronous_producer
from runtime.settings.model import Settings
from sternpost.cli.main import cli
from sternpost.local import LocalStack
from sternpost.operations import topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor import cluster
from sternpost.operations.doctor.check import Check
from sternpost.operations.doctor.run_checks import run_checks
from sternpost.operations.severity import Severity
from tests.support.waiting import until


def _of_cluster(settings: Settings) -> Iterator[Check]:
    found = cluster.metadata(settings)
    return cluster.check(settings, found, *cluster.broker_configs(settings, list(found.brokers)))


def _by_verdict(checks: Iterator[Check], verdict: Severity) -> dict[str, Check]:
    return {check.name: check for check in checks if check.severity is verdict}


def test_of_three_brokers_those_that_are_down_are_named_and_no_command_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are controllers as well, and so the last one can elect nobody."""
    names = {"replication_factor": 3, "min_insync_replicas": 2, "partitions": 1}
    with LocalStack(brokers=3, registry=False) as stack:
        settings = Settings.model_validate({"kafka": {"bootstrap_servers": stack.bootstrap_servers}, "topics": names})
        topics.create(settings, ChangesAllowed())
        sound = {"brokers", "broker version", "broker settings", "replicas"}
        until(lambda: _by_verdict(_of_cluster(settings), Severity.OK).keys() >= sound)  # once all replicas are there
        for broker in stack.brokers[1:]:
            broker.kill()
        for module in (admin, synchronous_producer, topics):
            monkeypatch.setattr(module, "TIMEOUT_S", 5)
        checks = list(
            run_checks(settings, ChangesAllowed(), url="http://127.0.0.1:1/v1/webhook", role=None, send=False)
        )
        faults = _by_verdict(iter(checks), Severity.FAULT)
        assert faults["brokers"].detail == "brokers 2, 3 do not answer from here, the others do"
        assert "most of them" in faults["controller"].remedy
        options = [f"--set=kafka.bootstrap_servers={stack.bootstrap_servers}"]
        for command in (["status"], ["dead-letters", "list"]):
            result = CliRunner().invoke(cli, [*options, *command])
            assert isinstance(result.exception, DependencyError | None), command
