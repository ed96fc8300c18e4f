"""The local stack and `sternpost dev`, as real processes."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from runtime.errors import ConfigurationError
from sternpost.local import LocalStack
from sternpost.local.artifacts import cache_dir
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker
from tests.support.waiting import PATIENCE_S

SUBJECT, SCHEMA = "somewhere-value", Schema('"string"', "AVRO")


def test_topics_have_names_of_their_own(kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker) -> None:
    first, second = make_topics(partitions=2), make_topics(partitions=3)
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=PATIENCE_S).topics

    assert {len(topics[name].partitions) for name in (first.raw, first.events, first.dead_letters)} == {2}
    assert {len(topics[name].partitions) for name in (second.raw, second.events, second.dead_letters)} == {3}
    assert make_settings(first, processor={"workers": 2}).processor.workers == 2


def test_data_in_a_folder_is_found_again(tmp_path: Path) -> None:
    with LocalStack(data_dir=tmp_path / "data") as stack:
        create(stack, "somewhere")
        with SchemaRegistryClient({"url": stack.registry_url}) as registry:
            registry.register_schema(SUBJECT, SCHEMA)
        first = stack.bootstrap_servers
        with pytest.raises(ConfigurationError, match=r"is in use by another local stack.*--data-dir"):
            LocalStack(data_dir=tmp_path / "data").start()
    assert not list(tmp_path.glob("data/**/*.new"))

    with LocalStack(data_dir=tmp_path / "data") as stack:
        assert stack.bootstrap_servers != first  # other ports, the same cluster
        assert "somewhere" in names(stack)
        with SchemaRegistryClient({"url": stack.registry_url}) as registry:
            assert registry.get_subjects() == [SUBJECT]

    with pytest.raises(ConfigurationError, match=r"belongs to a cluster of 1: start it with --brokers 1"):
        LocalStack(brokers=3, data_dir=tmp_path / "data").start()


def test_data_without_a_folder_is_thrown_away() -> None:
    with LocalStack(registry=False) as stack:
        create(stack, "somewhere")
        folder, pid = stack.folder, stack.brokers[0].pid
        assert (folder / "kafka-1/data/meta.properties").exists()
        with pytest.raises(LookupError):
            _ = stack.registry_url
    assert not folder.exists()
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_folders_of_killed_stacks_are_removed_and_those_in_use_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalStack(registry=False) as running:
        left, logs, other = (tmp_path / f"sternpost-{name}" for name in ("left", "logs", "other"))
        for folder in (left, logs / "logs", other):
            folder.mkdir(parents=True)
        (left / "lock").touch()
        for folder in (left, logs, other, running.folder):
            os.utime(folder, (0, 0))
        with LocalStack(registry=False):
            assert not left.exists()
            assert logs.exists()
            assert other.exists()
            assert (running.folder / "kafka-1").exists()


def test_the_logs_of_a_stack_that_did_not_start_are_there_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stack = LocalStack(registry=False, broker_properties={"num.io.threads": "none"})
    with pytest.raises(Exception, match=r"Kafka broker 1 ended with exit code 1 before it was ready") as raised:
        stack.start()
    assert "num.io.threads" in str(raised.value)
    [log] = tmp_path.rglob("*.log")
    assert str(log) in str(raised.value)
    assert [path.name for path in stack.folder.iterdir()] == ["logs"]


def test_a_port_in_use_is_one_clear_error_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sternpost("dev", "--only-kafka", "--kafka-port", str(port), "--registry-port", "0")
    assert done.returncode == 78
    assert done.stderr.strip() == (
        f"error: port {port} on 127.0.0.1, wanted for broker 1, is in use: stop the program that listens there, "
        "or choose another port with --kafka-port (0 takes a free one)"
    )


def test_no_network_on_the_first_start_is_one_clear_error(tmp_path: Path) -> None:
    nowhere = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""}
    done = sternpost("dev", "--only-kafka", "--free-ports", XDG_CACHE_HOME=str(tmp_path), **nowhere)
    assert done.returncode == 69
    downloading, error = done.stderr.strip().splitlines()
    assert downloading.startswith("downloading ")
    assert "could not be downloaded" in error
    assert "Check the network and start again" in error
    assert not list(tmp_path.rglob("*.jar"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_dev_says_where_everything_is_and_no_server_outlives_it(tmp_path: Path, how: signal.Signals) -> None:
    """SIGTERM and SIGKILL: see test_services.py."""
    with dev("--only-kafka", TMPDIR=str(tmp_path)) as process:
        servers = psutil.Process(process.pid).children(recursive=True)
        assert sum("java" in server.name() for server in servers) == 2
        assert os.listdir(tmp_path)
        assert process.stdout is not None
        said: dict[str, str] = {}
        while "Ctrl-C ends it." not in (line := process.stdout.readline()):
            name, _, value = line.strip().partition("  ")
            said[name] = value.strip()
        assert AdminClient({"bootstrap.servers": said["Kafka"]}).list_topics(timeout=PATIENCE_S).brokers
        with urllib.request.urlopen(f"{said['schema registry']}/subjects", timeout=PATIENCE_S) as answer:
            assert answer.read() == b"[]"
        assert Path(said["logs"], "kafka-1.log").exists()
        process.send_signal(how)
        code = process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(servers, timeout=PATIENCE_S)
    assert alive == []
    assert code == 0
    assert os.listdir(tmp_path) == []


def create(stack: LocalStack, name: str, replicas: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, replicas)], operation_timeout=30)[name].result(PATIENCE_S)


def names(stack: LocalStack) -> set[str]:
    return set(AdminClient({"bootstrap.servers": stack.bootstrap_servers}).list_topics(timeout=PATIENCE_S).topics)


PROGRAM = [sys.executable, "-c", "from sternpost.cli.main import main; main()"]


def environment(**changes: str) -> dict[str, str]:
    """Ours, with the artifacts' cache, and no settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STERNPOST_")}
    return {**ours, "XDG_CACHE_HOME": str(cache_dir().parent), **changes}


def sternpost(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )


@contextmanager
def dev(*arguments: str, **changes: str) -> "Iterator[subprocess.Popen[str]]":
    """`sternpost dev`, once it has said that it is ready."""
    with subprocess.Popen(
        [*PROGRAM, "dev", "--free-ports", *arguments], env=environment(**changes), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n", "it ended before it was ready"
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
