"""Topics on clusters that differ from Apache Kafka's: what they refuse, and what they do not tell."""

import json

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import NewTopic

from runtime.errors import ConfigurationError, DependencyError
from runtime.kafka.config import topic_configs
from runtime.settings.loader import load
from runtime.settings.model import Settings
from sternpost.operations import topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.severity import Severity
from tests.support.fake_admin import FakeAdmin, Policy

ALL = load(None, {})


def policy_violation(words: str) -> KafkaError:
    return KafkaError(KafkaError.POLICY_VIOLATION, words)


def forbids(*keys: str) -> Policy:
    """A policy that does not say what it dislikes."""
    return lambda topic: policy_violation("Topic is not allowed.") if set(keys) & set(topic.config or {}) else None


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> "type[FakeAdmin]":
    class Used(FakeAdmin):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            monkeypatch.setattr("runtime.kafka.admin.make_admin", lambda _: self)
            monkeypatch.setattr(
                topics, "missing_topics", lambda _, names: [name for name in names if name not in self.topics]
            )

    return Used


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["unclean.leader.election.enable"], ["unclean.leader.election.enable=false", "leave it to the cluster"]),
        (["max.message.bytes"], ["max.message.bytes=", "change ingest.max_body_bytes, or leave"]),
        (["min.insync.replicas"], ["change topics.min_insync_replicas, or leave"]),
        (["retention.ms"], ["change topics.raw_retention_ms, or leave"]),
        (
            ["unclean.leader.election.enable", "compression.type"],
            ['topics.omit_configs=["compression.type", "unclean.leader.election.enable"]'],
        ),
    ],
)
def test_a_setting_that_a_policy_forbids_is_found_and_nothing_is_made(
    use: type[FakeAdmin], keys: list[str], words: list[str]
) -> None:
    cluster = use(policy=forbids(*keys))
    with pytest.raises(DependencyError) as caught:
        topics.create(ALL, ChangesAllowed())
    for word in words:
        assert word in str(caught.value)
    assert f"topics.omit_configs={json.dumps(sorted(keys))}" in str(caught.value)
    assert "Topic is not allowed" in str(caught.value)
    assert cluster.created == []

    assert topics.create(load(None, {"topics.omit_configs": keys}), ChangesAllowed()) == topics.names(ALL)
    assert not any(set(keys) & set(topic.config or {}) for topic in cluster.created)


def test_a_refusal_of_the_last_topic_leaves_none(use: type[FakeAdmin]) -> None:
    def large(topic: NewTopic) -> KafkaError | None:
        forbidden = topic.topic == ALL.topics.dead_letters and "retention.ms" in (topic.config or {})
        return policy_violation("no") if forbidden else None

    cluster = use(policy=large)
    with pytest.raises(DependencyError, match=r"topics\.dead_letters_retention_ms"):
        topics.create(ALL, ChangesAllowed())
    assert cluster.created == []


def test_what_is_refused_between_looking_and_creating_says_what_was_made(use: type[FakeAdmin]) -> None:
    asked: list[str] = []

    def later(topic: NewTopic) -> KafkaError | None:
        asked.append(topic.topic)
        return policy_violation("quota") if asked.count(ALL.topics.events) == 2 else None

    cluster = use(policy=later)
    with pytest.raises(DependencyError) as caught:
        topics.create(ALL, ChangesAllowed())
    made = [topic.topic for topic in cluster.created]
    assert made == [ALL.topics.raw]
    assert f"{ALL.topics.raw} was created before" in str(caught.value)


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (lambda topic: None if topic.replication_factor == -1 else policy_violation("no"), "-1 takes its own"),
        (lambda topic: None if topic.num_partitions == -1 else policy_violation("no"), "change topics.partitions"),
        (lambda _: policy_violation("names begin with team-"), "or the topic's name"),
        (lambda _: KafkaError(KafkaError.INVALID_PARTITIONS, "at most 6"), "change topics.partitions"),
        (lambda _: KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no"), "sternpost acls"),
    ],
)
def test_a_refusal_of_something_else_than_a_setting(use: type[FakeAdmin], policy: Policy, word: str) -> None:
    cluster = use(policy=policy)
    with pytest.raises(DependencyError) as caught:
        topics.create(ALL, ChangesAllowed())
    assert word in str(caught.value)
    assert cluster.created == []


@pytest.mark.parametrize(("brokers", "word"), [(1, "1 broker,"), (2, "to at most 2"), (3, "what the cluster wants")])
def test_too_few_brokers_name_both_settings(use: type[FakeAdmin], brokers: int, word: str) -> None:
    use(
        brokers={number: {} for number in range(brokers)},
        policy=lambda _: KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "no"),
    )
    with pytest.raises(DependencyError) as caught:
        topics.create(ALL, ChangesAllowed())
    assert word in str(caught.value)
    assert "topics.replication_factor is 3" in str(caught.value)
    if brokers < 3:
        assert "topics.min_insync_replicas" in str(caught.value)


def test_the_clusters_own_number_of_replicas(use: type[FakeAdmin]) -> None:
    own = load(None, {"topics.replication_factor": -1})
    cluster = use(replicas=2)
    topics.create(own, ChangesAllowed())
    assert {topic.replication_factor for topic in cluster.created} == {-1}
    assert topics.check(own) == []
    use(topic_configs(ALL), replicas=1)
    assert {finding.remedy.partition("lower ")[2].split()[0] for finding in topics.check(own)} == {
        "topics.min_insync_replicas"
    }


@pytest.mark.parametrize("factor", [1, -1])
def test_one_copy_is_a_warning_where_there_are_brokers_for_more(use: type[FakeAdmin], factor: int) -> None:
    single = load(None, {"topics.replication_factor": factor, "topics.min_insync_replicas": 1})
    use(topic_configs(single), replicas=1)
    findings = topics.check(single)
    assert [finding.topic for finding in findings] == topics.names(single)
    for finding in findings:
        assert "one copy of each record, on a cluster of 3 brokers" in finding.problem
        assert "topics.replication_factor to 3" in finding.remedy
        assert finding.severity is Severity.WARNING
    use(topic_configs(single), replicas=2)
    assert topics.check(single) == []
    use(topic_configs(single), replicas=1, brokers={1: {}, 2: {}})
    assert topics.check(single) == []


@pytest.mark.parametrize(("name", "value"), [("omit_configs", ["segment.bytes"]), ("replication_factor", 0)])
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"topics\.{name}"):
        load(None, {f"topics.{name}": value})


def told(settings: Settings, without: set[str], **values: str | None) -> dict[str, dict[str, str | None]]:
    """What a cluster tells of topics as they should be, without some of it."""
    return {
        name: {**{key: value for key, value in config.items() if key not in without}, **values}
        for name, config in topic_configs(settings).items()
    }


@pytest.mark.parametrize("key", sorted(set(topic_configs(ALL)[ALL.topics.raw]) - {"compression.type"}))
def test_what_a_cluster_does_not_tell_is_a_warning(use: type[FakeAdmin], key: str) -> None:
    use(told(ALL, {key}))
    findings = topics.check(ALL)
    assert [finding.topic for finding in findings] == topics.names(ALL)
    for finding in findings:
        assert f"this cluster does not tell its {key} (should be" in finding.problem
        assert finding.severity is Severity.WARNING
    use(told(ALL, set(), **{key: None}))
    assert topics.check(ALL) == findings


def test_a_number_that_is_none_is_not_told(use: type[FakeAdmin]) -> None:
    use(told(ALL, set(), **{"retention.ms": ""}))
    assert {finding.severity for finding in topics.check(ALL)} == {Severity.WARNING}
    assert topics.retention_ms(ALL, ALL.topics.raw) is None
    use(told(ALL, {"retention.ms"}))
    assert topics.retention_ms(ALL, ALL.topics.raw) is None
    use(told(ALL, set()))
    assert topics.retention_ms(ALL, ALL.topics.raw) == ALL.topics.raw_retention_ms


def test_a_cluster_that_refuses_the_question(use: type[FakeAdmin]) -> None:
    use(dict.fromkeys(topics.names(ALL), KafkaError(KafkaError.UNSUPPORTED_VERSION, "no")))
    findings = topics.check(ALL)
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    assert "min.insync.replicas" in findings[0].problem
    use(dict.fromkeys(topics.names(ALL), KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no")))
    findings = topics.check(ALL)
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    assert all("may not see its settings" in finding.problem for finding in findings)
    assert all("sternpost acls" in finding.remedy for finding in findings)


def test_what_was_left_to_the_cluster_and_does_not_do_is_a_warning(use: type[FakeAdmin]) -> None:
    use(told(ALL, set(), **{"unclean.leader.election.enable": "true", "max.message.bytes": "1000"}))
    left = load(None, {"topics.omit_configs": ["unclean.leader.election.enable"]})
    found = {finding.problem.split()[0]: finding.severity for finding in topics.check(left)}
    assert found == {
        "unclean.leader.election.enable": Severity.WARNING,
        "max.message.bytes": Severity.FAULT,
    }
