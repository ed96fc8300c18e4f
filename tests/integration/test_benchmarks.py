"""The benchmarks in miniature: what they count is right. What they time is nobody's promise."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import ingest, latency, parts, processing, result
from benchmarks.__main__ import main
from benchmarks.cluster import OURS, Cluster
from benchmarks.payloads import webhook
from benchmarks.result import Result
from tests.support.kafka import Kafka

COPY = """
import os, sys
from confluent_kafka import Consumer, Producer
conf = {"bootstrap.servers": os.environ["BOOTSTRAP"]}
consumer = Consumer({**conf, "group.id": os.environ["GROUP"], "auto.offset.reset": "earliest"})
producer = Producer(conf)
consumer.subscribe([os.environ["RAW"]])
while True:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        producer.produce(os.environ["OUT"], bytes.fromhex(sys.argv[1]), message.key())
        producer.poll(0)
"""
"""A peer that answers every webhook with the same bytes, which are no event."""


@pytest.fixture
def cluster(kafka: Kafka) -> Cluster:
    return Cluster(kafka.bootstrap_servers, kafka.registry_url)


def test_every_event_of_a_filled_topic_comes_out_and_reads_back(cluster: Cluster) -> None:
    measured = processing.measure(cluster, 1_500, subject=OURS, partitions=3, people=20)
    assert measured.case == {"events": 1_500, "partitions": 3, "people": 20, "workers": 1}
    assert measured.figures["events_out"] == 1_500
    assert measured.figures["decoded_share"] == 1


def test_a_peer_does_the_same_work_and_what_does_not_read_back_shows(cluster: Cluster, tmp_path: Path) -> None:
    program = tmp_path / "peer.py"
    program.write_text(COPY)
    measured = processing.measure(cluster, 500, subject="peer", command=f"exec {sys.executable} {program} ff")
    assert measured.figures["events_out"] == 500
    assert measured.figures["decoded_share"] == 0


def test_every_request_is_answered_and_in_the_topic(cluster: Cluster) -> None:
    (measured,) = ingest.measure(cluster, [4], 1, subject=OURS)
    figures = measured.figures
    assert figures["failed"] == 0
    assert 0 < figures["requests"] <= figures["records"] <= figures["requests"] + 4  # those in flight at the end


def test_every_webhook_becomes_readable(cluster: Cluster) -> None:
    figures = latency.measure(cluster, 50, 2).figures
    assert (figures["failed"], figures["events"]) == (0, 100)
    assert 0 <= figures["p50_ms"] <= figures["p99_ms"] <= figures["longest_ms"]


def test_the_parts_do_the_work_that_they_are_timed_for() -> None:
    (measured,) = parts.measure(1_000)
    assert measured.figures["events_share"] == 1
    assert measured.figures["differing_from_fastavro"] == 0
    assert parts.deduplication(2_500).figures["found"] == 2_500


def test_bodies_are_varied_and_of_the_size_they_are_said_to_be() -> None:
    made = [webhook(index) for index in range(2_000)]
    assert len({one.event_id for one in made}) == 2_000
    assert 400 < sum(len(one.body) for one in made) / 2_000 < 600


def test_runs_are_summed_up_by_their_medians() -> None:
    runs = [Result("b", "s", {"n": 1}, {"ms": value}) for value in (5.0, 1.0, 2.0)]
    (summary,) = result.summarise(runs)
    assert summary.figures == {"ms": (2.0, 1.0, 5.0)}
    assert "| s | 1 | 2 (1-5) |" in result.table([summary])


def test_the_command_prints_a_table_and_keeps_the_figures(cluster: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    where = ["--bootstrap-servers", cluster.bootstrap_servers, "--registry-url", cluster.registry_url]
    options = ["--quick", "--events", "1000", "--output", str(output), *where]
    answer = CliRunner().invoke(main, ["parts", *options], catch_exceptions=False)
    assert answer.exit_code == 0
    assert "| sternpost | 1000 |" in answer.stdout
    found = json.loads(output.read_text())
    assert [one["benchmark"] for one in found["results"]] == ["parts"]
    assert found["machine"]["cpus"]
