"""The registry client, and the commands on it, against a real registry."""

import json
import socket
import socketserver
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest
import structlog
from click.testing import CliRunner
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from runtime.errors import RegistryUnavailableError, SchemaIncompatibleError, SchemaNotFoundError
from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import SchemaRegistrySettings
from schemas.track_event import EventReader, load_schema
from sternpost.cli.main import cli
from sternpost.local.ports import choose
from sternpost.mapping import Event, Mapper
from tests.support.kafka import Kafka
from tests.support.raw_records import NOW_MS, payload
from tests.support.serving import POLL_S
from tests.support.waiting import PATIENCE_S

V1 = {"type": "record", "name": "A", "fields": [{"name": "a", "type": "string"}]}
V2 = {
    "type": "record",
    "name": "A",
    "fields": [*V1["fields"], {"name": "b", "type": ["null", "long"], "default": None}],
}
BREAKING = {"type": "record", "name": "A", "fields": [{"name": "c", "type": "string"}]}


class Relay:
    """The registry at another address, for as long as the relay is open."""

    def __init__(self, address: tuple[str, int], url: str) -> None:
        target = urlsplit(url)
        self._connections: list[socket.socket] = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler) -> None:  # noqa: N805 (it is `self` of another class)
                there = socket.create_connection((target.hostname, target.port), timeout=PATIENCE_S)
                self._connections += (handler.request, there)
                back = threading.Thread(target=_pipe, args=(there, handler.request), daemon=True)
                back.start()
                _pipe(handler.request, there)
                back.join()
                there.close()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True  # the test keeps the port

        self._server = Server(address, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def registry(kafka: Kafka) -> Iterator[Registry]:
    registry = Registry(SchemaRegistrySettings(url=kafka.registry_url))
    yield registry
    registry.close()


@pytest.fixture
def subject() -> str:
    return subject_of(f"test-{uuid.uuid4().hex[:12]}")


def test_what_is_registered_is_found_and_registering_again_changes_nothing(registry: Registry, subject: str) -> None:
    with pytest.raises(SchemaNotFoundError):
        registry.lookup(subject, V1)
    first = registry.register(subject, V1)
    assert registry.register(subject, V1) == first == registry.lookup(subject, V1)
    assert first.version == 1
    assert registry.schema(first.id) == V1
    assert registry.compatibility(subject) == "FULL_TRANSITIVE"


def test_a_compatible_version_is_taken_and_a_breaking_one_refused(registry: Registry, subject: str) -> None:
    first = registry.register(subject, V1)
    assert registry.is_compatible(subject, V2)
    second = registry.register(subject, V2)
    assert (second.version, second.id != first.id) == (2, True)
    assert registry.lookup(subject, V1) == first
    assert not registry.is_compatible(subject, BREAKING)
    with pytest.raises(SchemaIncompatibleError):
        registry.register(subject, BREAKING)


def test_a_breaking_version_is_refused_where_the_registry_had_no_level_yet(
    kafka: Kafka, registry: Registry, subject: str
) -> None:
    with closing(SchemaRegistryClient({"url": kafka.registry_url})) as client:
        client.register_schema(subject, Schema(json.dumps(V1), "AVRO"))
    with pytest.raises(SchemaIncompatibleError):
        registry.register(subject, BREAKING)


def test_a_schema_is_found_however_its_json_is_laid_out_and_no_other_for_it(
    kafka: Kafka, registry: Registry, subject: str
) -> None:
    with closing(SchemaRegistryClient({"url": kafka.registry_url})) as client:
        laid_out = json.dumps(load_schema(), indent=4, sort_keys=True)
        schema_id = client.register_schema(subject, Schema(laid_out, "AVRO"))
    assert registry.lookup(subject, load_schema()).id == schema_id
    fields = load_schema()["fields"]
    for others in (fields[::-1], fields[:-1], [{**fields[0], "type": "bytes"}, *fields[1:]]):
        with pytest.raises(SchemaNotFoundError):
            registry.lookup(subject, {**load_schema(), "fields": others})


def test_the_event_schema_is_found_as_it_was_registered(registry: Registry, subject: str) -> None:
    assert registry.schema(registry.register(subject, load_schema()).id) == load_schema()


def test_an_id_that_is_not_there_has_no_schema(registry: Registry) -> None:
    assert registry.schema(2_000_000_000) is None


def test_a_registry_that_is_away_is_told_from_one_that_has_not_got_the_schema() -> None:
    url = f"http://user:hush@127.0.0.1:{choose(0, 'nobody', '')}"
    away = Registry(SchemaRegistrySettings(url=url, timeout_ms=1_000))
    with pytest.raises(RegistryUnavailableError) as caught:
        away.lookup("a-value", V1)
    assert "hush" not in str(caught.value)
    away.close()


def test_waiting_ends_when_the_schema_comes(registry: Registry, subject: str) -> None:
    stopping = threading.Event()
    registered = threading.Timer(0.5, lambda: registry.register(subject, V1))
    registered.start()
    found = registry.wait_for(subject, V1, stopping)
    registered.join()
    assert found is not None
    assert found.subject == subject


def test_a_registry_that_comes_later_is_waited_for_and_one_that_goes_is_not_missed(
    kafka: Kafka, registry: Registry, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.schema_registry.RETRY_S", 0.05)
    registered = registry.register(subject, V1)
    address = ("127.0.0.1", choose(0, "registry", ""))
    tries: list[None] = []
    relay: Relay | None = None

    def come_after_three() -> None:
        nonlocal relay
        tries.append(None)
        if len(tries) == 3:
            relay = Relay(address, kafka.registry_url)

    url = kafka.registry_url.replace(urlsplit(kafka.registry_url).netloc, f"{address[0]}:{address[1]}")
    later = Registry(SchemaRegistrySettings(url=url))
    with structlog.testing.capture_logs() as logs:
        assert later.wait_for(subject, V1, threading.Event(), waiting=come_after_three) == registered
    assert [line["event"] for line in logs] == ["waiting: the schema registry does not answer", "schema found"]
    assert later.schema(registered.id) == V1
    assert relay is not None
    relay.close()
    with pytest.raises(RegistryUnavailableError):
        later.lookup(subject, V2)
    later.close()


def test_waiting_ends_when_it_is_to_stop() -> None:
    away = Registry(SchemaRegistrySettings(url=f"http://127.0.0.1:{choose(0, 'nobody', '')}", timeout_ms=1_000))
    stopping = threading.Event()
    timer = threading.Timer(0.3, stopping.set)
    timer.start()
    assert away.wait_for("a-value", V1, stopping) is None
    timer.join()
    away.close()


def test_confluents_own_deserialiser_and_ours_read_what_is_framed(
    kafka: Kafka, registry: Registry, subject: str
) -> None:
    value = _event(registry.register(subject, load_schema()).id)
    with closing(SchemaRegistryClient({"url": kafka.registry_url})) as client:
        context = SerializationContext(subject.removesuffix("-value"), MessageField.VALUE)
        theirs = AvroDeserializer(client)(value, context)
    assert theirs == EventReader(registry.schema)(value)


def _event(schema_id: int) -> bytes:
    outcome = Mapper(schema_id=schema_id).map(payload("é⚓"), received_at_ms=NOW_MS)
    assert isinstance(outcome, Event)
    return outcome.value


@pytest.mark.parametrize("damage", [lambda v: v[:-1], lambda v: v + b"\0", lambda v: b"\1" + v[1:], lambda v: v[:4]])
def test_a_damaged_value_is_refused(registry: Registry, subject: str, damage: Callable[[bytes], bytes]) -> None:
    value = _event(registry.register(subject, load_schema()).id)
    assert EventReader(registry.schema)(value)["messageId"] == "é⚓"
    with pytest.raises(ValueError, match=r"wire format|value"):
        EventReader(registry.schema)(damage(value))


def test_the_commands_register_and_check(kafka: Kafka, subject: str) -> None:
    options = [
        f"--set=schema_registry.url={kafka.registry_url}",
        f"--set=topics.events={subject.removesuffix('-value')}",
    ]
    run = CliRunner().invoke
    missing = run(cli, [*options, "schema", "check", "--json"])
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["registered"] is None
    assert "sternpost schema register" in json.loads(missing.stdout)["findings"][0]
    registered = run(cli, [*options, "schema", "register", "--json"])
    assert registered.exit_code == 0
    found = json.loads(registered.stdout)
    assert (found["subject"], found["version"]) == (subject, 1)
    assert json.loads(run(cli, [*options, "schema", "check", "--json"]).stdout) == {"registered": found, "findings": []}
    assert run(cli, [*options, "schema", "check"]).exit_code == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"subject_name": "topic_record"}, "{topic}-sternpost.events.TrackEvent"),
        ({"context": ".tests"}, ":.tests:{topic}-value"),
    ],
)
def test_another_name_of_the_subject(kafka: Kafka, given: dict[str, str], named: str) -> None:
    topic = f"test-{uuid.uuid4().hex[:12]}"
    options = [
        f"--set=schema_registry.url={kafka.registry_url}",
        f"--set=topics.events={topic}",
        *(f"--set=schema_registry.{name}={value}" for name, value in given.items()),
    ]
    run = CliRunner().invoke
    registered = run(cli, [*options, "schema", "register", "--json"])
    assert registered.exit_code == 0, registered.output
    found = json.loads(registered.stdout)
    assert found["subject"] == named.format(topic=topic)
    checked = run(cli, [*options, "schema", "check", "--json"])
    assert json.loads(checked.stdout) == {"registered": found, "findings": []}
    settings = SchemaRegistrySettings.model_validate({"url": kafka.registry_url, **given})
    with Registry(settings) as registry:
        assert (registry.schema(found["id"]) or {})["name"] == "TrackEvent"
        assert registry.compatibility(found["subject"]) == "FULL_TRANSITIVE"
    plain = run(cli, [*options[:2], "schema", "check", "--json"])
    assert json.loads(plain.stdout)["registered"] is None, "it is under another name alone"
