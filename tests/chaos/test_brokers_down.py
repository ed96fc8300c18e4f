"""What an operator's commands say while most brokers are down."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from sternpost.cli.main import cli
from sternpost.local import LocalStack
from sternpost.operations import topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor import cluster
from sternpost.operations.doctor.check import Check
from sternpost.operations.doctor.run_checks import run_checks
from sternpost.operations.severity import Severity
from tests.support.kafka import idempotent_producer
from tests.support.waiting import PATIENCE_S, until


def _of_cluster(settings: Settings) -> Iterator[Check]:
    found = cluster.metadata(settings)
    return cluster.check(settings, found, *cluster.broker_configs(settings, list(found.brokers)))


def _by_verdict(checks: Iterator[Check], verdict: Severity) -> dict[str, Check]:
    return {check.name: check for check in checks if check.severity is verdict}


def test_of_three_brokers_those_that_are_down_are_named_and_no_command_breaks() -> None:
    """They are controllers as well, and so the last one can elect nobody."""
    names = {"replication_factor": 3, "min_insync_replicas": 2, "partitions": 1}
    with LocalStack(brokers=3, registry=False) as stack:
        settings = Settings.model_validate({"kafka": {"bootstrap_servers": stack.bootstrap_servers}, "topics": names})
        topics.create(settings, ChangesAllowed())
        sound = {"brokers", "broker version", "broker settings", "replicas"}
        until(lambda: _by_verdict(_of_cluster(settings), Severity.OK).keys() >= sound)  # once all replicas are there
        for broker in stack.brokers[1:]:
            broker.kill()
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


def test_a_reader_whose_brokers_go_away_for_good_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    count, size = 40, 500_000
    little_ahead = {"queued.min.messages": "1", "queued.max.messages.kbytes": "1", "fetch.message.max.bytes": "1000"}
    with LocalStack(registry=False) as stack:
        kafka: dict[str, Any] = {"bootstrap_servers": stack.bootstrap_servers, "properties": little_ahead}
        names = {"replication_factor": 1, "min_insync_replicas": 1, "partitions": 1}
        settings = Settings.model_validate({"kafka": kafka, "topics": names})
        topics.create(settings, ChangesAllowed())
        raw = settings.topics.raw
        producer = idempotent_producer(stack.bootstrap_servers)
        for _ in range(count):
            producer.produce(raw, bytes(size))
        assert producer.flush(PATIENCE_S) == 0
        everything = range_consumer.readable_ranges(settings, raw)
        assert [span.end for span in everything] == [count]
        one_by_one, in_batches = (
            range_consumer.read(settings, raw),
            range_consumer.read_ranges(settings, raw, everything),
        )
        next(one_by_one)
        found = len(next(in_batches))
        monkeypatch.setattr(range_consumer, "SILENCE_S", 5)
        stack.brokers[0].kill()
        with pytest.raises(DependencyError, match=f"gave nothing of {raw} for 5 s.* check the brokers"):
            found += sum(len(batch) for batch in in_batches)
        assert found < count
        with pytest.raises(DependencyError, match=f"gave nothing of {raw} for 5 s.* check the brokers"):
            list(one_by_one)
