"""What differs between the group protocols classic and consumer: a place in use, a cluster without, and the change."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from processor import restart_policy
from processor import service as processor_service
from processor.group_consumer import KafkaGroupConsumer
from runtime.errors import ConfigurationError, InstanceFencedError
from runtime.settings.model import GroupProtocol, Settings
from sternpost.local import LocalStack
from sternpost.local.services import environment_for
from sternpost.operations import schema, topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor import cluster
from sternpost.operations.severity import Severity
from sternpost.operations.status import consumer_group
from tests.chaos.pipeline import Service
from tests.support.groups import set_session_timeout
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker
from tests.support.share import Share
from tests.support.waiting import until

CLASSIC, CONSUMER = GroupProtocol

MEMBER = """
import sys
from confluent_kafka import Consumer

servers, group, topic, name = sys.argv[1:]

def assigned(consumer, partitions):
    consumer.incremental_assign(partitions)
    print("assigned", len(partitions), flush=True)

consumer = Consumer({
    "bootstrap.servers": servers, "group.id": group, "group.instance.id": name, "group.protocol": "consumer",
})
consumer.subscribe([topic], on_assign=assigned)
while True:
    consumer.poll(0.2)
"""


class Handle:
    """A worker as the service has it."""

    index = 0

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        self.reasons: list[str] = []
        self.kept: object = None

    def ready(self, ready: bool, reason: str = "") -> None:
        self.reasons.append("ready" if ready else reason)

    def beat(self) -> None:
        pass

    def keep(self, value: object) -> None:
        self.kept = value


@contextmanager
def running(settings: Settings) -> Iterator[Handle]:
    """A worker that runs until the end of the block."""
    worker = Handle(settings)
    thread = threading.Thread(target=processor_service.run_worker, args=(worker,))
    thread.start()
    try:
        yield worker
    finally:
        worker.stopping.set()
        thread.join()


def consumer_settings(make_topics: TopicMaker, make_settings: SettingsMaker, session_ms: int) -> Settings:
    settings = make_settings(
        make_topics(partitions=2), processor={"group_protocol": CONSUMER, "transaction_timeout_ms": session_ms // 2}
    )
    schema.register(settings, ChangesAllowed())
    try:
        set_session_timeout(settings.kafka.bootstrap_servers, settings.processor.group_id, session_ms)
    except KafkaException as error:
        if make_settings.kafka.origin != "given":
            raise
        pytest.skip(f"the cluster does not take a session time-out of {session_ms} ms for a group: {error}")
    return settings


def test_a_worker_that_died_gets_its_place_back_when_its_session_ends(
    make_topics: TopicMaker, make_settings: SettingsMaker
) -> None:
    settings = consumer_settings(make_topics, make_settings, 20_000)
    arguments = [settings.kafka.bootstrap_servers, settings.processor.group_id, settings.topics.raw, "test-0"]
    with subprocess.Popen([sys.executable, "-c", MEMBER, *arguments], stdout=subprocess.PIPE) as dies:
        try:
            assert dies.stdout is not None
            assert dies.stdout.readline() == b"assigned 2\n"
            with running(settings) as worker:
                # It dies only now: however long a worker takes to start, it finds its place taken.
                waits = "still count an earlier process as member test-0"
                until(lambda: any(waits in reason for reason in worker.reasons))
                assert "ready" not in worker.reasons
                dies.kill()
                until(lambda: "ready" in worker.reasons)
                [member] = consumer_group.describe(settings).members
                assert (member.instance_id, member.partitions) == ("test-0", [0, 1])
        finally:
            dies.kill()


def test_a_second_process_of_one_name_gives_up_in_the_end(
    make_topics: TopicMaker, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Handle):
        """Has waited for long enough once it knows what it waits for."""

        def ready(self, ready: bool, reason: str = "") -> None:
            super().ready(ready, reason)
            if "still count an earlier process" in reason:
                monkeypatch.setattr(restart_policy, "RELEASE_S", 0.0)

    settings = consumer_settings(make_topics, make_settings, 45_000)
    first, share = KafkaGroupConsumer(settings, f"{settings.processor.instance_id}-0", Share()), threading.Event()

    def keep_polling() -> None:
        while not share.is_set():
            first.poll(0.1, lambda: False)

    thread = threading.Thread(target=keep_polling)
    thread.start()
    try:
        until(lambda: first.is_member)
        second = Impatient(settings)
        with pytest.raises(ConfigurationError, match=r"another process is member test-0 .* processor\.instance_id"):
            processor_service.run_worker(second)  # type: ignore[arg-type]
        assert "ready" not in second.reasons
        assert any("still count an earlier process as member test-0" in reason for reason in second.reasons)
        assert first.is_member
    finally:
        share.set()
        thread.join()
        first.close()


def classic_settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    settings = make_settings(make_topics(partitions=2), processor={"group_protocol": CLASSIC})
    schema.register(settings, ChangesAllowed())
    return settings


def take_the_place(settings: Settings) -> None:
    """As a member's own request does whose answer is lost: the brokers give the place to somebody nobody hears of."""
    other = KafkaGroupConsumer(settings, f"{settings.processor.instance_id}-0", Share())
    with suppress(InstanceFencedError):  # the worker has taken the place back already
        until(lambda: other.poll(0.1, lambda: False) is not None and other.is_member)
    other.close()


@pytest.mark.parametrize("most", [restart_policy.MOST_FENCINGS, 0], ids=["on-a-sound-link", "on-a-bad-link"])
def test_a_member_that_lost_its_place_takes_it_back(
    make_topics: TopicMaker, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(restart_policy, "MOST_FENCINGS", most)
    if not most:  # a link that fails with a connection, and so may have lost an answer
        monkeypatch.setattr(processor_service, "why_unreachable", lambda _: "broker:9092: gone")
    settings = classic_settings(make_topics, make_settings)
    with running(settings) as worker:
        until(lambda: worker.reasons[-1:] == ["ready"])
        take_the_place(settings)
        until(lambda: any("may be an earlier self" in reason for reason in worker.reasons))
        until(lambda: worker.reasons[-1] == "ready")
        [member] = consumer_group.describe(settings).members
        assert (member.instance_id, member.partitions) == ("test-0", [0, 1])


def test_a_member_that_loses_its_place_again_and_again_gives_up(
    make_topics: TopicMaker, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart_policy, "MOST_FENCINGS", 0)
    settings = classic_settings(make_topics, make_settings)
    worker, gave_up = Handle(settings), []

    def run() -> None:
        with pytest.raises(ConfigurationError) as raised:
            processor_service.run_worker(worker)  # type: ignore[arg-type]
        gave_up.append(str(raised.value))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: worker.reasons[-1:] == ["ready"])
        take_the_place(settings)
        until(lambda: gave_up)
        assert "another process is member test-0" in gave_up[0]
        assert "processor.instance_id" in gave_up[0]
    finally:
        worker.stopping.set()
        thread.join()


def test_a_cluster_without_the_protocol_is_told(kafka: Kafka, tmp_path: Path) -> None:
    with LocalStack(registry=False, broker_properties={cluster.PROTOCOLS: "classic"}) as stack:
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": stack.bootstrap_servers},
                "schema_registry": {"url": kafka.registry_url},
                "topics": {
                    "events": "events-without-the-protocol",
                    "partitions": 1,
                    "replication_factor": 1,
                    "min_insync_replicas": 1,
                },
                "processor": {"group_protocol": CONSUMER, "state_dir": tmp_path / "state", "admin_port": 0},
            }
        )
        topics.create(settings, ChangesAllowed())
        schema.register(settings, ChangesAllowed())
        service = Service("process", "process", environment_for(settings), tmp_path)
        service.start()
        try:
            until(lambda: service.pid is None)
            assert service.exit_code == ConfigurationError.exit_code, service.output()
            assert "does not have the group protocol consumer" in service.output()
            assert "set processor.group_protocol to classic" in service.output()
        finally:
            service.kill()
        found = cluster.metadata(settings)
        checks = list(cluster.check(settings, found, *cluster.broker_configs(settings, list(found.brokers))))
        [check] = [check for check in checks if check.name == "group protocol"]
        assert check.severity is Severity.FAULT
        assert "processor.group_protocol" in check.remedy


def test_doctor_compares_the_brokers_time_out(make_topics: TopicMaker, make_settings: SettingsMaker) -> None:
    settings = consumer_settings(make_topics, make_settings, 7_000)

    def check(transaction_ms: int) -> tuple[Severity, str]:
        ours = settings.processor.model_copy(update={"transaction_timeout_ms": transaction_ms})
        changed = settings.model_copy(update={"processor": ours})
        found = cluster.metadata(changed)
        checks = cluster.check(changed, found, *cluster.broker_configs(changed, list(found.brokers)))
        [one] = [check for check in checks if check.name == "group protocol"]
        return one.severity, one.detail

    assert check(6_999) == (Severity.OK, "consumer, with a session time-out of 7000 ms")
    assert check(7_000)[0] is Severity.FAULT


@pytest.mark.parametrize("change", [(CLASSIC, CONSUMER), (CONSUMER, CLASSIC)], ids=["upgrade", "downgrade"])
def test_the_members_of_a_group_change_their_protocol_one_by_one(
    make_topics: TopicMaker, make_settings: SettingsMaker, change: tuple[GroupProtocol, GroupProtocol]
) -> None:
    """Each stops and comes back with the other, as a rolling restart has them do; no partition is left out."""
    before, after = change
    settings = consumer_settings(make_topics, make_settings, 10_000)
    shares = {"a": Share(), "b": Share()}

    def join(name: str, protocol: GroupProtocol) -> KafkaGroupConsumer:
        shares[name].partitions.clear()
        ours = settings.processor.model_copy(update={"group_protocol": protocol})
        return KafkaGroupConsumer(settings.model_copy(update={"processor": ours}), name, shares[name])

    def all_taken() -> bool:
        for member in members.values():
            member.poll(0.1, lambda: False)
        return sorted(shares["a"].partitions) + sorted(shares["b"].partitions) in ([0, 1], [1, 0])

    members = {name: join(name, before) for name in shares}
    try:
        until(all_taken)
        for name in shares:
            members[name].close()
            members[name] = join(name, after)
            until(all_taken)
    finally:
        for member in members.values():
            member.close()
