"""Client certificates for brokers and registry, and bearer tokens for the registry: right, wrong and expired."""

import json
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime.schema_registry import Registry
from runtime.settings.loader import load
from tests.support.authorities import Authority, Identity
from tests.support.kafka import REGISTRY_MS, Kafka
from tests.support.secured import broker_behind, secured_registry, tls_properties
from tests.support.serving import serving
from tests.support.waiting import PATIENCE_S, until

PROGRAM = (sys.executable, "-c", "from sternpost.cli.main import main; main()")
SOURCES = '--set=sources=[{"name":"test","write_keys":["key"]}]'
TOKEN = "a-bearer-token-that-nobody-may-read"


def run(settings: dict[str, object], *command: str) -> tuple[int, str]:
    given = [
        f"--set={name}={json.dumps(value) if isinstance(value, dict) else value}" for name, value in settings.items()
    ]
    done = subprocess.run(
        [*PROGRAM, *given, SOURCES, *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert TOKEN not in said
    assert "PRIVATE KEY" not in said
    return done.returncode, said


class Place:
    """A broker and a registry that want client certificates, and the identities to try."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.stranger = Authority(folder, "ca"), Authority(folder, "stranger")
        self.identities = {
            "right": self.ca.issue("sternpost"),
            "of a stranger": self.stranger.issue("sternpost"),
            "expired": self.ca.issue("sternpost", expired=True),
        }
        self.broker = self.registry = ""

    def of_broker(self, identity: Identity | None) -> dict[str, str]:
        properties = {"security.protocol": "SSL", "ssl.ca.location": str(self.ca.file)}
        if identity is not None:
            properties["ssl.certificate.location"] = str(identity.certificate)
            properties["ssl.key.location"] = str(identity.key)
        return properties

    def of_registry(self, identity: Identity | None) -> dict[str, object]:
        given: dict[str, object] = {
            "schema_registry.url": self.registry,
            "schema_registry.ca_file": self.ca.file,
            "schema_registry.timeout_ms": REGISTRY_MS,
        }
        if identity is not None:
            files = {
                "ssl.certificate.location": str(identity.certificate),
                "ssl.key.location": str(identity.key),
            }
            given["schema_registry.properties"] = files
        return given


@pytest.fixture(scope="module")
def place(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("certificates")
    place = Place(folder)
    server = place.ca.server()
    properties = {**tls_properties(place.ca.file, server), "ssl.client.auth": "required"}
    with (
        broker_behind(folder / "kafka", "SSL", properties) as place.broker,
        secured_registry(kafka.registry_url, server, client_ca=place.ca.file) as place.registry,
    ):
        yield place


def test_the_right_certificate(place: Place, tmp_path: Path) -> None:
    right = place.identities["right"]
    given: dict[str, object] = {
        "kafka.bootstrap_servers": place.broker,
        "kafka.properties": place.of_broker(right),
        **place.of_registry(right),
        "topics.events": "mtls.events",
        "topics.partitions": 1,
        "topics.replication_factor": 1,
        "topics.min_insync_replicas": 1,
        "processor.state_dir": tmp_path,
    }
    for command in (["topics", "create"], ["schema", "register"], ["schema", "check"], ["topics", "check"]):
        code, said = run(given, *command)
        assert code == 0, f"{command}: {said}"
    code, said = run(given, "status", "--json")
    assert code == 0, said
    assert json.loads(said)["schema"]["problem"] is None


@pytest.mark.parametrize("which", ["none", "of a stranger", "expired"])
def test_a_certificate_that_brokers_do_not_take(place: Place, which: str) -> None:
    properties = place.of_broker(place.identities.get(which))
    given: dict[str, object] = {"kafka.bootstrap_servers": place.broker, "kafka.properties": properties}
    for command in (["topics", "check"], ["status"], ["ingest"], ["process"]):
        code, said = run(given, *command)
        assert code == 69, f"{command}: {said}"
        assert "check ssl.certificate.location and ssl.key.location in kafka.properties" in said, said


@pytest.mark.parametrize("which", ["none", "of a stranger", "expired"])
def test_a_certificate_that_the_registry_does_not_take(place: Place, kafka: Kafka, tmp_path: Path, which: str) -> None:
    given = place.of_registry(place.identities.get(which))
    for command in (["schema", "check"], ["schema", "register"]):
        code, said = run(given, *command)
        assert code == 78, f"{command}: {said}"
        assert "ssl.certificate.location and ssl.key.location in schema_registry.properties" in said, said


@contextmanager
def issuer(seconds: int) -> Iterator[tuple[str, list[str]]]:
    """An OAuth token endpoint for the client `me` with the secret `hush`: its address, and the tokens that it gave."""
    given: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            secrets = [*urllib.parse.parse_qs(body).get("client_secret", []), self.headers.get("Authorization")]
            known = "hush" in secrets or "Basic bWU6aHVzaA==" in secrets
            given.append(f"{TOKEN}-{len(given)}")
            answer = {"access_token": given[-1], "token_type": "Bearer", "expires_in": seconds}
            text = json.dumps(answer if known else {"error": "invalid_client"}).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}/token", given


def of_issuer(endpoint: str, secret: str) -> dict[str, str]:
    return {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": "me",
        "bearer.auth.client.secret": secret,
        "bearer.auth.scope": "registry",
        "bearer.auth.issuer.endpoint.url": endpoint,
        "bearer.auth.logical.cluster": "lsrc-1",
        "bearer.auth.identity.pool.id": "pool-1",
    }


def static(token: str) -> dict[str, str]:
    return {
        "bearer.auth.credentials.source": "STATIC_TOKEN",
        "bearer.auth.token": token,
        "bearer.auth.logical.cluster": "lsrc-1",
        "bearer.auth.identity.pool.id": "pool-1",
    }


def test_a_bearer_token(place: Place, kafka: Kafka) -> None:
    with secured_registry(kafka.registry_url, place.ca.server(), f"Bearer {TOKEN}") as url:
        for token, code, words in ((TOKEN, 0, ""), ("another", 78, "check bearer.auth")):
            given = {"schema_registry.url": url, "schema_registry.ca_file": place.ca.file}
            got, said = run({**given, "schema_registry.properties": static(token)}, "schema", "register")
            assert got == code, said
            assert words in said


def test_a_property_that_a_bearer_token_takes_is_named(place: Place) -> None:
    for left_out in ("bearer.auth.logical.cluster", "bearer.auth.scope"):
        properties = of_issuer("http://127.0.0.1:1/", "hush")
        del properties[left_out]
        given: dict[str, object] = {"schema_registry.url": place.registry, "schema_registry.properties": properties}
        code, said = run(given, "schema", "check")
        assert code == 78, said
        assert f"set {left_out} too" in said


def test_a_token_of_an_issuer_is_fetched_once_for_as_long_as_it_lives(place: Place, kafka: Kafka) -> None:
    with issuer(3_600) as (endpoint, given), secured_registry_of(place, kafka, given) as url:
        settings = load(None, of_secured(place, url, of_issuer(endpoint, "hush")))
        with Registry(settings.schema_registry) as registry:
            for _ in range(2):
                assert registry.compatibility("somewhere-value")
        assert len(given) == 1
        code, said = run(of_secured(place, url, of_issuer(endpoint, "wrong-secret")), "schema", "check")
        assert code == 78, said
        assert "could not get a token" in said
        assert "wrong-secret" not in said


def test_a_token_of_an_issuer_is_renewed_when_it_ends(place: Place, kafka: Kafka) -> None:
    with issuer(2) as (endpoint, given), secured_registry_of(place, kafka, given) as url:
        settings = load(None, of_secured(place, url, of_issuer(endpoint, "hush")))
        with Registry(settings.schema_registry) as registry:
            assert registry.compatibility("somewhere-value")
            first = given[-1]
            until(lambda: registry.compatibility("somewhere-value") and given[-1] != first)


def secured_registry_of(place: Place, kafka: Kafka, given: list[str]) -> AbstractContextManager[str]:
    """The registry, which takes the newest of the tokens alone."""
    return secured_registry(
        kafka.registry_url, place.ca.server(), lambda header: bool(given) and header == f"Bearer {given[-1]}"
    )


def of_secured(place: Place, url: str, properties: dict[str, str]) -> dict[str, object]:
    return {
        "schema_registry.url": url,
        "schema_registry.ca_file": place.ca.file,
        "schema_registry.properties": properties,
    }
