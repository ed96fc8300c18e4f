"""Amazon MSK's IAM access control: the real signer's tokens, on a real broker that checks their signature and end.

The AWS credentials are made up, and nothing leaves this machine: a token is signed here, and the broker checks it with
`tests/support/java/MskIamValidator.java` as MSK would.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from confluent_kafka import TopicPartition

from runtime.errors import ConfigurationError
from runtime.kafka import errors, msk_iam
from runtime.kafka.admin import KafkaAdmin, cluster_metadata
from runtime.kafka.clients import make_consumer, make_producer
from runtime.settings.loader import load
from runtime.settings.model import Settings
from sternpost.local import ports
from sternpost.local.artifacts import Cache
from sternpost.local.installation import install
from sternpost.operations.status.service import fetch_status
from tests.support.kafka import STOP_MS, Kafka
from tests.support.secured import broker_behind
from tests.support.waiting import PATIENCE_S, until

PROGRAM = (sys.executable, "-c", "from sternpost.cli.main import main; main()")
REGION, ACCESS_KEY, SECRET_KEY = "eu-central-1", "AKIASTERNPOSTTEST", "made-up-and-only-known-here"
JAAS = "org.apache.kafka.common.security"
VALIDATOR = Path(__file__).parents[1] / "support" / "java" / "MskIamValidator.java"
LIFE_S = 10


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("javac") is None:
        pytest.skip("there is no javac to compile the broker's validator of tokens")
    folder = tmp_path_factory.mktemp("msk")
    classpath = ":".join(map(str, install(Cache(), registry=False).jars))
    compiled = folder / "classes"
    subprocess.run(["javac", "-nowarn", "-cp", classpath, "-d", str(compiled), str(VALIDATOR)], check=True)
    listener = "listener.name.sasl_plaintext"
    keys = f'accessKey="{ACCESS_KEY}" secretKey="{SECRET_KEY}" unsecuredLoginStringClaim_sub="broker"'
    properties = {
        "sasl.enabled.mechanisms": "OAUTHBEARER,PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        f"{listener}.plain.sasl.jaas.config": f'{JAAS}.plain.PlainLoginModule required username="b" password="b" '
        'user_b="b";',
        f"{listener}.oauthbearer.sasl.jaas.config": f"{JAAS}.oauthbearer.OAuthBearerLoginModule required {keys};",
        f"{listener}.oauthbearer.sasl.server.callback.handler.class": VALIDATOR.stem,
        # A connection ends with the token that opened it, unless the client signs in again.
        f"{listener}.oauthbearer.connections.max.reauth.ms": "3600000",
    }
    with broker_behind(folder / "kafka", "SASL_PLAINTEXT", properties, [compiled]) as address:
        yield address


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    msk_iam.token_callback.cache_clear()
    yield
    msk_iam.token_callback.cache_clear()
    errors.failures_of.cache_clear()


def options(address: str, registry_url: str, folder: Path) -> list[str]:
    values = {
        "kafka.bootstrap_servers": address,
        "kafka.msk_iam_region": REGION,
        "kafka.properties": '{"security.protocol": "SASL_PLAINTEXT"}',
        "schema_registry.url": registry_url,
        "topics.events": "msk.events",
        "topics.partitions": "1",
        "topics.replication_factor": "1",
        "topics.min_insync_replicas": "1",
        "sources": '[{"name":"test","write_keys":["key"]}]',
        "processor.state_dir": str(folder / "state"),
        "processor.shutdown_timeout_ms": str(STOP_MS),
        "ingest.drain_timeout_ms": str(STOP_MS),
        "processor.admin_port": str(ports.choose(0, "", "")),
        "ingest.port": str(ports.choose(0, "", "")),
        "ingest.admin_port": str(ports.choose(0, "", "")),
    }
    return [f"--set={name}={value}" for name, value in values.items()]


def settings_for(address: str) -> Settings:
    properties = {"security.protocol": "SASL_PLAINTEXT"}
    return load(
        None,
        {"kafka.bootstrap_servers": address, "kafka.msk_iam_region": REGION, "kafka.properties": properties},
    )


def run(arguments: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments, *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_commands_and_services_sign_in(address: str, kafka: Kafka, tmp_path: Path) -> None:
    given = options(address, kafka.registry_url, tmp_path)
    for command in (["topics", "create"], ["schema", "register"], ["topics", "check"], ["status", "--json"]):
        done = run(given, *command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    for service, section in (("ingest", "ingest"), ("process", "processor")):
        log = tmp_path / f"{service}.log"
        with log.open("w") as output, subprocess.Popen([*PROGRAM, *given, service], stdout=output, stderr=output) as it:
            try:
                until(partial(_is_ready, given, section))
                assert run(given, "healthcheck", section, "--ready").returncode == 0
            finally:
                it.terminate()
        assert it.returncode == 0, log.read_text()


def _is_ready(given: list[str], section: str) -> bool:
    [port] = [text.rpartition("=")[2] for text in given if text.startswith(f"--set={section}.admin_port=")]
    return fetch_status(section, "127.0.0.1", int(port)).ready


def test_idle_clients_outlive_their_tokens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is polled while the tokens end, and each signs in again with a new one."""
    monkeypatch.setattr(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", LIFE_S)
    settings = settings_for(address)
    signed: list[float] = []
    sign = MSKAuthTokenProvider.generate_auth_token

    def counted(region: str) -> tuple[str, int]:
        token: tuple[str, int] = sign(region)
        signed.append(time.time())
        return token

    monkeypatch.setattr(MSKAuthTokenProvider, "generate_auth_token", counted)
    admin, producer = KafkaAdmin(settings), make_producer(settings, {})
    consumer = make_consumer(settings, {"group.id": "reader"})
    try:
        for client in (producer, consumer):
            cluster_metadata(settings, client)
        assert admin.metadata().brokers
        until(lambda: len(signed) >= 4 and time.time() > signed[0] + 2 * LIFE_S)
        assert admin.metadata().brokers
        for client in (producer, consumer):
            assert cluster_metadata(settings, client).brokers
        assert consumer.committed([TopicPartition("customerio.raw", 0)], timeout=PATIENCE_S)
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another-secret"}, ["invalid_token", "AWS credentials"]),
        ({"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}, ["invalid_token", "AWS credentials"]),
    ],
)
def test_credentials_that_the_broker_does_not_take(
    address: str,
    kafka: Kafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    words: list[str],
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    given = options(address, kafka.registry_url, tmp_path)
    for command in (["topics", "check"], ["status"], ["ingest"], ["process"]):
        done = run(given, *command)
        said = done.stdout + done.stderr
        assert done.returncode == 69, f"{command}: {said}"
        assert all(word in said for word in words), said
        assert "Traceback" not in said
        assert not any(secret in said for secret in (SECRET_KEY, "another-secret"))


def test_a_token_that_has_ended_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a machine signs whose clock is wrong: the token says that it lives, and the broker knows better."""
    sign = MSKAuthTokenProvider.generate_auth_token
    monkeypatch.setattr(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", 1)
    token, ends_at_ms = sign(REGION)
    until(lambda: time.time() > ends_at_ms / 1000 + 1)
    later_ms = (int(time.time()) + 600) * 1000
    monkeypatch.setattr(MSKAuthTokenProvider, "generate_auth_token", lambda _: (token, later_ms))
    with pytest.raises(Exception, match=r"invalid_token.*clock"):
        KafkaAdmin(settings_for(address)).metadata()


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match=r"kafka\.msk_iam_region: there are no AWS credentials"):
        KafkaAdmin(settings_for("127.0.0.1:1"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match=r"ProfileNotFound.*check the role, the profile"):
        KafkaAdmin(settings_for("127.0.0.1:1"))


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sternpost\[msk\]'"):
        KafkaAdmin(settings_for("127.0.0.1:1"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("sasl.mechanism", "PLAIN"), ("sasl.username", "me"), ("sasl.oauthbearer.method", "oidc")],
)
def test_another_way_to_sign_in_beside_it(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} cannot be set with kafka\.msk_iam_region"):
        load(None, {"kafka.msk_iam_region": REGION, "kafka.properties": {name: value}})


def test_a_region_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.msk_iam_region"):
        load(None, {"kafka.msk_iam_region": "Frankfurt"})
