"""Why Kafka is not reached is said at once: in commands, and by services in /readyz and in their log."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka import Kafka
from tests.support.secured import ADMIN, SecuredBroker, certificates, secured_broker
from tests.support.waiting import PATIENCE_S

PROGRAM = (sys.executable, "-c", "from sternpost.cli.main import main; main()")
SOURCES = '--set=sources=[{"name":"test","write_keys":["key"]}]'


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    folder = tmp_path_factory.mktemp("secured")
    with secured_broker(folder, *certificates(folder)) as broker:
        yield broker


def run(address: str, properties: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    options = [f"--set=kafka.bootstrap_servers={address}", f"--set=kafka.properties={json.dumps(properties)}", SOURCES]
    return subprocess.run(
        [*PROGRAM, *options, *command],
        # Where no name server answers, this machine's resolver would wait for longer than a command does:
        # https://man7.org/linux/man-pages/man5/resolv.conf.5.html
        env={**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sasl.password": "hush"}, ["Authentication failed", "check sasl.mechanism, sasl.username"]),
        ({"sasl.mechanism": "SCRAM-SHA-256"}, ["PLAIN,SCRAM-SHA-512", "set sasl.mechanism"]),
        ({"ssl.ca.location": None}, ["set ssl.ca.location"]),
        ({"security.protocol": "PLAINTEXT"}, ["the port may want TLS", "security.protocol"]),
        ({"security.protocol": "SSL"}, ["the broker may want SASL", "sasl.mechanism"]),
    ],
)
def test_a_secured_broker_that_refuses_us(
    broker: SecuredBroker, changed: dict[str, str | None], words: list[str]
) -> None:
    wanted = broker.properties(ADMIN) | changed
    properties = {name: value for name, value in wanted.items() if value is not None}
    for command in (["topics", "check"], ["process"]):
        done = run(broker.address, properties, *command)
        said = done.stdout + done.stderr
        assert done.returncode == 69, said
        assert "Traceback" not in said
        assert "hush" not in said
        for word in [broker.address, *words]:
            assert word in said


def test_a_token_that_cannot_be_had(broker: SecuredBroker) -> None:
    properties = {
        **{name: value for name, value in broker.properties(ADMIN).items() if name.startswith(("security", "ssl"))},
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "me",
        "sasl.oauthbearer.client.secret": "hush",
        "sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:1/token",
    }
    for command in (["topics", "check"], ["process"]):
        done = run(broker.address, properties, *command)
        said = done.stdout + done.stderr
        assert done.returncode == 69, said
        assert "Failed to acquire SASL OAUTHBEARER token" in said
        assert "check the properties under sasl.oauthbearer" in said
        assert "hush" not in said


def test_tls_to_a_port_without(kafka: Kafka) -> None:
    done = run(kafka.bootstrap_servers, {"security.protocol": "SSL"}, "tail", "--no-follow")
    assert done.returncode == 69
    assert "the port speaks no TLS" in done.stderr


@pytest.mark.parametrize(
    "command", [["tail"], ["status"], ["dead-letters", "list"], ["replay", "--from", "beginning", "--dry-run"]]
)
def test_a_name_that_does_not_resolve(command: list[str]) -> None:
    done = run("kafka.invalid:9092", {}, *command)
    assert done.returncode == 69, done.stderr
    assert "kafka.invalid:9092: Failed to resolve" in done.stderr
    assert "check the names in kafka.bootstrap_servers" in done.stderr


def test_nobody_listens() -> None:
    done = run("127.0.0.1:1", {}, "topics", "check")
    assert done.returncode == 69
    assert "Connection refused" in done.stderr


def test_files_that_properties_name(tmp_path: Path, kafka: Kafka) -> None:
    garbage = tmp_path / "ca.pem"
    garbage.write_text("garbage")
    for path, words in ((tmp_path / "none.pem", "which does not exist"), (garbage, "ssl.ca.location")):
        properties = {"security.protocol": "SSL", "ssl.ca.location": str(path)}
        for command in (["topics", "check"], ["ingest"], ["process"]):
            done = run(kafka.bootstrap_servers, properties, *command)
            assert done.returncode == 78, done.stderr
            assert "Traceback" not in done.stderr
            assert "kafka.properties: " in done.stderr
            assert words in done.stderr


def test_what_does_not_fit_the_processors_time_outs_is_named(kafka: Kafka) -> None:
    done = run(kafka.bootstrap_servers, {"socket.timeout.ms": "60000"}, "process")
    assert done.returncode == 78, done.stderr
    assert "socket.timeout.ms" in done.stderr
    assert "transaction.timeout.ms is 20000" in done.stderr


def test_librdkafkas_debug_lines_are_in_the_log(kafka: Kafka) -> None:
    done = run(kafka.bootstrap_servers, {"debug": "broker"}, "--set=log.level=debug", "topics", "check")
    assert any(json.loads(line).get("logger") == "kafka" for line in done.stderr.splitlines() if line.startswith("{"))
