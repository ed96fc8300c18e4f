"""Each way in which a registry, or what is taken for one, can fail has a sentence and an end of its own."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from runtime.errors import (
    ConfigurationError,
    RegistryMisconfiguredError,
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaIncompatibleError,
    SchemaNotFoundError,
    SternpostError,
)
from runtime.schema_registry import ABSENT_S, COMPATIBILITY, Registered, Registry, events_subject
from runtime.settings.loader import load
from runtime.settings.model import SchemaRegistrySettings
from schemas.track_event import load_schema
from tests.support import certificate
from tests.support.registry_answers import (
    DENIED,
    LASTING,
    NO_LEVEL,
    PASSING,
    READ_ONLY,
    SUBJECT_NOT_FOUND,
    VERSION_NOT_FOUND,
)
from tests.support.scripted_http import Answer, Script, answering
from tests.support.waiting import PATIENCE_S

SUBJECT = "a-value"
PATIENT_MS = int(1000 * PATIENCE_S)
V1 = {"type": "record", "name": "A", "fields": [{"name": "a", "type": "string"}]}
FOUND = Answer(200, {"subject": SUBJECT, "id": 7, "version": 1, "schema": "{}"})


@contextmanager
def registry(script: Script | Answer) -> Iterator[tuple[Registry, list[str]]]:
    with answering(script) as server, Registry(SchemaRegistrySettings(url=server.url, timeout_ms=PATIENT_MS)) as client:
        yield client, server.requests


def routes(answers: dict[str, Answer], rest: Answer = SUBJECT_NOT_FOUND) -> Script:
    """By method and path; `rest` to all others."""
    return lambda asked: answers.get(asked, rest)


@pytest.mark.parametrize("kind", LASTING)
def test_what_does_not_pass_says_what_is_wrong_and_what_to_set(kind: str) -> None:
    answer, error, problem, mend = LASTING[kind]
    with registry(answer) as (client, _):
        with pytest.raises(error) as caught:
            client.lookup(SUBJECT, V1)
        assert problem in caught.value.problem
        assert mend in caught.value.remedy
        assert "<" not in str(caught.value), "a page is not quoted"
        assert caught.value.exit_code == (78 if error is RegistryMisconfiguredError else 69)
        for ask in (client.is_compatible, client.register):
            with pytest.raises(error):
                ask(SUBJECT, V1)
        with pytest.raises(SternpostError):
            client.schema(7)


@pytest.mark.parametrize("register", [False, True])
@pytest.mark.parametrize("kind", LASTING)
def test_what_does_not_pass_is_not_waited_for(kind: str, register: bool) -> None:
    answer, error, _, _ = LASTING[kind]
    with registry(answer) as (client, _), pytest.raises(error):
        client.wait_for(SUBJECT, V1, threading.Event(), register=register, waiting=_not_to_be_called)


def _not_to_be_called() -> None:
    raise AssertionError("it waits")


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_waited_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.schema_registry.RETRY_S", 0.01)
    answers = iter([PASSING[kind]] * 3)
    with registry(lambda _: next(answers, FOUND)) as (client, requests):
        with structlog.testing.capture_logs() as logs:
            assert client.wait_for(SUBJECT, V1, threading.Event()) == Registered(SUBJECT, 7, 1)
        assert len(requests) == 4
    assert [line["event"] for line in logs] == ["waiting: the schema registry does not answer", "schema found"]
    assert f"HTTP {PASSING[kind].status}" in logs[0]["hint"]
    with registry(PASSING[kind]) as (client, _), pytest.raises(RegistryUnavailableError):
        client.lookup(SUBJECT, V1)


@pytest.mark.parametrize("unknown", [SUBJECT_NOT_FOUND, VERSION_NOT_FOUND])
def test_a_subject_that_is_not_known_takes_any_schema(unknown: Answer) -> None:
    with registry(unknown) as (client, _):
        assert client.is_compatible(SUBJECT, V1)
        with pytest.raises(SchemaNotFoundError, match="sternpost schema register"):
            client.lookup(SUBJECT, V1)
        assert client.schema(7) is None


def test_a_404_without_a_code_is_a_missing_schema_where_the_registry_answers() -> None:
    with registry(routes({"GET /subjects": Answer(200, [])}, Answer(404, b""))) as (client, _):
        with pytest.raises(SchemaNotFoundError):
            client.lookup(SUBJECT, V1)
        assert client.is_compatible(SUBJECT, V1)


@pytest.mark.parametrize("refusal", [DENIED, READ_ONLY, NO_LEVEL, Answer(404, b""), Answer(405, b""), Answer(500, b"")])
def test_a_schema_that_is_there_is_taken_though_the_level_cannot_be_set(refusal: Answer) -> None:
    warnings: list[str] = []
    script = routes({f"POST /subjects/{SUBJECT}": FOUND, f"PUT /config/{SUBJECT}": refusal})
    with registry(script) as (client, _):
        assert client.register(SUBJECT, V1, warnings.append).id == 7
    [warning] = warnings
    assert f"could not be set to {COMPATIBILITY}" in warning


@pytest.mark.parametrize("refusal", [DENIED, Answer(404, b""), Answer(405, b"")])
@pytest.mark.parametrize(
    ("versions", "own", "default", "taken"),
    [
        (Answer(200, [1]), NO_LEVEL, "NONE", False),
        (Answer(200, [1]), NO_LEVEL, "BACKWARD", False),
        (Answer(200, [1]), NO_LEVEL, COMPATIBILITY, True),
        (SUBJECT_NOT_FOUND, SUBJECT_NOT_FOUND, "NONE", True),
        (SUBJECT_NOT_FOUND, DENIED, "NONE", True),
    ],
)
def test_without_a_level_only_what_cannot_break_sinks_is_registered(
    refusal: Answer, versions: Answer, own: Answer, default: str, taken: bool
) -> None:
    registered: list[str] = []

    def script(asked: str) -> Answer:
        if asked == f"POST /subjects/{SUBJECT}/versions":
            registered.append(asked)
            return Answer(200, {"id": 7})
        if asked == f"POST /subjects/{SUBJECT}":
            return FOUND if registered else SUBJECT_NOT_FOUND
        return {
            f"PUT /config/{SUBJECT}": refusal,
            f"GET /config/{SUBJECT}": own,
            "GET /config": Answer(200, {"compatibilityLevel": default}),
            f"GET /subjects/{SUBJECT}/versions": versions,
            "GET /subjects": Answer(200, []),
        }[asked]

    with registry(script) as (client, _):
        if taken:
            assert client.register(SUBJECT, V1).id == 7
        else:
            with pytest.raises(RegistryRefusedError, match=COMPATIBILITY):
                client.register(SUBJECT, V1)
    assert bool(registered) is taken


def test_what_is_there_with_its_level_is_not_written_again() -> None:
    level = Answer(200, {"compatibilityLevel": COMPATIBILITY})
    with registry(routes({f"POST /subjects/{SUBJECT}": FOUND, f"GET /config/{SUBJECT}": level})) as (client, requests):
        client.register(SUBJECT, V1)
        assert not [asked for asked in requests if asked.startswith("PUT") or asked.endswith("/versions")]


def test_a_read_only_registry_and_an_incompatible_schema_are_told_apart() -> None:
    def script(of_register: Answer) -> Script:
        return routes(
            {
                f"POST /subjects/{SUBJECT}/versions": of_register,
                f"PUT /config/{SUBJECT}": Answer(200, {"compatibility": COMPATIBILITY}),
            }
        )

    with registry(script(READ_ONLY)) as (client, _), pytest.raises(RegistryRefusedError, match="READWRITE"):
        client.register(SUBJECT, V1)
    conflict = Answer(409, {"error_code": 409, "message": "Schema being registered is incompatible"})
    with registry(script(conflict)) as (client, _), pytest.raises(SchemaIncompatibleError, match=r"topics\.events"):
        client.register(SUBJECT, V1)


@pytest.mark.parametrize("text", ['"string"', "message A {}", "[]"])
def test_a_schema_that_is_no_record_counts_as_none(text: str) -> None:
    with registry(Answer(200, {"schema": text})) as (client, requests):
        assert client.schema(7) is None
        assert client.schema(7) is None
        assert len(requests) == 1


def test_an_id_without_a_schema_is_asked_for_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record of a topic may have one, and it may be registered while a reader follows the topic for days."""
    there: dict[str, Answer] = {}
    seconds = 1_000.0
    monkeypatch.setattr("runtime.schema_registry.monotonic", lambda: seconds)
    with registry(lambda asked: there.get(asked, SUBJECT_NOT_FOUND)) as (client, requests):
        assert [client.schema(7), client.schema(8), client.schema(7), client.schema(8)] == [None] * 4
        assert len(requests) == 2
        there["GET /schemas/ids/7"] = Answer(200, {"schema": json.dumps(V1)})
        seconds += ABSENT_S / 2
        assert client.schema(7) is None
        seconds += ABSENT_S / 2
        assert client.schema(7) == V1
        assert client.schema(8) is None
        assert client.schema(8) is None
        assert len(requests) == 4


def test_few_ids_without_a_schema_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.schema_registry.MOST_ABSENT", 3)
    with registry(SUBJECT_NOT_FOUND) as (client, requests):
        for schema_id in [1, 2, 3, 3, 4, 4, 1]:
            assert client.schema(schema_id) is None
        assert len(requests) == 5


@contextmanager
def listening(reply: bytes | None, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that sends `reply` to whoever connects and hangs up; with None, it says nothing while it is open."""
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if reply is None:
                    done.wait()
                    return
                try:
                    speaking = tls.wrap_socket(connection, server_side=True) if tls else connection
                    speaking.recv(65_536)
                    speaking.sendall(reply)
                    speaking.close()
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize(
    ("reply", "scheme", "error", "word"),
    [
        (None, "http", RegistryUnavailableError, "schema_registry.timeout_ms (300)"),
        (None, "https", RegistryUnavailableError, "schema_registry.timeout_ms (300)"),
        (b"", "http", RegistryUnavailableError, "ended the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{", "http", RegistryUnavailableError, "ended the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "https", RegistryMisconfiguredError, "does not speak TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", "http", RegistryMisconfiguredError, "does not speak HTTP"),
    ],
)
def test_a_port_that_gives_no_answer(reply: bytes | None, scheme: str, error: type[SternpostError], word: str) -> None:
    timeout_ms = 300 if reply is None else PATIENT_MS
    with (
        listening(reply) as port,
        Registry(SchemaRegistrySettings(url=f"{scheme}://127.0.0.1:{port}", timeout_ms=timeout_ms)) as client,
        pytest.raises(error) as caught,
    ):
        client.lookup(SUBJECT, V1)
    assert word in str(caught.value)


def test_a_certificate_that_is_not_trusted_names_the_setting(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for ends, address, trusted, word in (
        (now + timedelta(days=1), "127.0.0.1", False, "schema_registry.ca_file"),
        (now + timedelta(days=1), "127.0.0.2", True, "schema_registry.url to the name"),
        (now - timedelta(days=1), "127.0.0.1", True, "renewed"),
    ):
        file, key = certificate.make(tmp_path, ends=ends, address=address)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file, key)
        with listening(b"", server) as port:
            url, ca_file = f"https://127.0.0.1:{port}", file if trusted else None
            settings = SchemaRegistrySettings(url=url, ca_file=ca_file, timeout_ms=PATIENT_MS)
            with Registry(settings) as client, pytest.raises(RegistryMisconfiguredError) as caught:
                client.lookup(SUBJECT, V1)
        assert word in caught.value.remedy


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "registry:8081"},
        {"url": "http://registry:port"},
        {"url": "http://registry", "basic_auth": "hush"},
        {"url": "https://registry", "ca_file": "/nowhere/ca.pem"},
        {"url": "https://registry", "ca_file": "/etc/hostname"},
        {"url": "https://registry", "properties": {"bearer.auth.token": "hush"}},
    ],
)
def test_settings_that_the_client_does_not_take(settings: dict[str, object]) -> None:
    def ask() -> None:
        loaded = load(None, {f"schema_registry.{name}": value for name, value in settings.items()})
        with Registry(loaded.schema_registry) as client:
            client.lookup(SUBJECT, V1)

    with pytest.raises(ConfigurationError) as caught:
        ask()
    assert "schema_registry." in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ({}, "rudderstack.events-value"),
        ({"subject_name": "topic_record"}, "rudderstack.events-sternpost.events.TrackEvent"),
        ({"context": ".staging"}, ":.staging:rudderstack.events-value"),
        (
            {"context": ".staging", "subject_name": "topic_record"},
            ":.staging:rudderstack.events-sternpost.events.TrackEvent",
        ),
    ],
)
def test_the_subject_is_named_as_the_settings_say(given: dict[str, str], subject: str) -> None:
    settings = load(None, {f"schema_registry.{name}": value for name, value in given.items()})
    assert events_subject(settings, load_schema()) == subject


@pytest.mark.parametrize("context", ["staging", ":.staging:", ".", ".a/b"])
def test_a_context_that_no_registry_has(context: str) -> None:
    with pytest.raises(ConfigurationError, match=r"schema_registry\.context"):
        load(None, {"schema_registry.context": context})


def test_a_context_qualifies_every_question() -> None:
    """Confluent's and Redpanda's registries give ids by context, and keep a level for each:
    https://docs.redpanda.com/streaming/current/manage/schema-reg/schema-reg-contexts/"""
    schema = json.dumps(V1)
    answers = {
        "GET /schemas/ids/7": Answer(200, {"schema": schema}),
        "GET /config/%3A.staging%3A": Answer(200, {"compatibilityLevel": "BACKWARD"}),
    }
    with answering(routes(answers, NO_LEVEL)) as server:
        settings = SchemaRegistrySettings(url=server.url, context=".staging", timeout_ms=PATIENT_MS)
        with Registry(settings) as client:
            assert client.schema(7) == V1
            assert server.queries == ["subject=:.staging:"], "an id of another context is another schema"
            assert client.compatibility(":.staging:a-value") == "BACKWARD"
        assert "GET /config" not in server.requests, "the level of another context"
