"""Partitions that nobody reads: of a member that ended while it gave one up, or that does not know of one."""

import subprocess
import sys
import threading

import pytest
from confluent_kafka import TopicPartition

from processor import assignment_check
from processor.assignment_check import UnassignedPartitions
from processor.group_consumer import KafkaGroupConsumer
from runtime.errors import ClientUnusableError
from runtime.settings.model import GroupProtocol
from tests.support.kafka import SettingsMaker, TopicMaker
from tests.support.share import Share
from tests.support.waiting import until

MEMBER = """
import os, sys
from confluent_kafka import Consumer

servers, group, topic, name, ends_when = sys.argv[1:]

def assigned(consumer, partitions):
    consumer.incremental_assign(partitions)
    print("assigned", len(partitions), flush=True)
    if ends_when == "assigned":
        os._exit(0)

def revoked(consumer, partitions):
    os._exit(0)

consumer = Consumer({
    "bootstrap.servers": servers, "group.id": group, "group.instance.id": name, "session.timeout.ms": 300_000,
    "partition.assignment.strategy": "cooperative-sticky",
})
consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked)
while True:
    consumer.poll(0.2)
"""


def test_no_partition_stays_without_a_member(
    make_topics: TopicMaker, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_out, find = threading.Event(), UnassignedPartitions._find

    def find_later(check: UnassignedPartitions) -> list[int]:
        found_out.wait()  # members that join slowly would mend it before this test has seen it
        return find(check)

    monkeypatch.setattr(UnassignedPartitions, "_find", find_later)
    settings = make_settings(make_topics(partitions=4))
    arguments = [settings.kafka.bootstrap_servers, settings.processor.group_id, settings.topics.raw]

    def member(name: str, ends_when: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", MEMBER, *arguments, name, ends_when], stdout=subprocess.PIPE)

    with member("a", "revoked") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"assigned 4\n"
        with member("b", "assigned") as second:
            assert second.stdout is not None
            assert second.stdout.readline() == b"assigned 0\n"
    shares = Share(), Share()
    sources = [KafkaGroupConsumer(settings, name, share) for name, share in zip("ab", shares, strict=True)]

    def poll() -> None:
        for source in sources:
            source.poll(0.1, lambda: False)

    def all_joined() -> bool:
        poll()
        return all(source.is_member for source in sources)

    def all_taken() -> bool:
        poll()
        return sorted([*shares[0].partitions, *shares[1].partitions]) == [0, 1, 2, 3]

    try:
        until(all_joined)
        assert len(shares[0].partitions) + len(shares[1].partitions) < 4, "the group gave all out by itself"
        found_out.set()
        until(all_taken)
    finally:
        found_out.set()
        for source in sources:
            source.close()


def test_a_member_that_does_not_know_of_a_partition_begins_anew(
    make_topics: TopicMaker, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is made to forget the partition."""
    monkeypatch.setattr(assignment_check, "CHECK_INTERVAL_S", 1.0)
    settings = make_settings(make_topics(partitions=2), processor={"group_protocol": GroupProtocol.CONSUMER})
    share = Share()
    source = KafkaGroupConsumer(settings, "a", share)

    def joined() -> bool:
        source.poll(0.1, lambda: False)
        return sorted(share.partitions) == [0, 1]

    try:
        until(joined)
        source._consumer.incremental_unassign([TopicPartition(settings.topics.raw, 1)])
        with pytest.raises(ClientUnusableError, match=r"partitions \[1\] as this member"):
            until(lambda: source.poll(0.1, lambda: False))
    finally:
        source.close()
    source = KafkaGroupConsumer(settings, "a", share := Share())
    try:
        until(joined)
    finally:
        source.close()
