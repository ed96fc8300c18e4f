"""Starting, reloading, draining and TLS of the endpoint."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.graceful_shutdown import SETTLE_S
from tests.support.endpoint import BODY, SIGNED, UNSIGNED, Answer, answer_on, endpoint, records, request
from tests.support.kafka import Kafka, TopicMaker
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def topic(kafka: Kafka) -> Iterator[str]:
    maker = TopicMaker(kafka)
    yield maker.one(partitions=2)
    maker.remove()


def test_sources_are_reloaded_when_the_file_changes_and_on_sighup(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, sources=[SIGNED], workers=2) as service:
        assert service.post(headers={}, query="writeKey=open-key").status == 401
        service.configure([SIGNED, UNSIGNED])
        service.logged("sources reloaded", count=2)
        for _ in range(8):
            assert service.post(headers={}, query="writeKey=open-key").status == 200
        service.signal(signal.SIGHUP)
        service.logged("sources reloaded", count=4)
        service.wait_until(lambda: service.metric('sternpost_ingest_reloads_total{result="ok"}') == 4)


BROKEN = [
    "[[sources]]\nname =",
    "[nonsense]\nx = 1",
    "",
    '[[sources]]\nname = "a"\nwrite_keys = []',
    "sources = " + "[" * 5_000,
    "sources = 1" + "0" * 5_000,
    "\0",
]


def test_a_broken_file_leaves_the_old_sources_in_force_and_says_so(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic) as service:

        def stays(count: int) -> str:
            line = service.logged("sources not reloaded, the old ones stay in force", count)
            assert service.post().status == 200
            return str(line["error"])

        for count, broken in enumerate(BROKEN, start=1):
            service.replace_file(broken)
            said = stays(count)
            assert said in ("RecursionError", "ValueError") or any(
                word in said for word in ("sources", "nonsense", str(service.file))
            )
        service.file.unlink()
        service.file.mkdir()
        assert str(service.file) in stays(len(BROKEN) + 1)
        service.file.rmdir()
        assert service.metric('sternpost_ingest_reloads_total{result="failed"}') > len(BROKEN)
        service.configure([UNSIGNED])
        service.logged("sources reloaded")
        assert service.post().status == 401


def test_a_storm_of_hangups_ends_in_the_newest_sources(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, sources=[SIGNED]) as service:
        for _ in range(2_000):
            service.signal(signal.SIGHUP)
        service.configure([SIGNED, UNSIGNED])
        service.signal(signal.SIGHUP)
        service.wait_until(lambda: service.post(headers={}, query="writeKey=open-key").status == 200)
        assert service.stop() == 0


def test_workers_share_the_port_and_their_counts_are_added_up(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, workers=2) as service:
        for _ in range(40):
            assert service.post().status == 200
        ok = 'sternpost_ingest_requests_total{outcome="ok",source="signed"}'
        service.wait_until(lambda: service.metric(ok) == 40)
        assert service.stop() == 0
    assert len(records(kafka.bootstrap_servers, topic)) == 40


class Client(threading.Thread):
    """Sends one request after the other on a kept connection, opening a new one where asked to."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.answers: list[Answer] = []
        self.broken: list[str] = []
        """What became of connections that the service should have answered."""
        self.refused = False

    def run(self) -> None:
        while not self.refused:
            since = time.monotonic()
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
            except ConnectionRefusedError:
                self.refused = True
                return
            with connection:
                while (answer := self._ask(connection, since)) is not None:
                    self.answers.append(answer)
                    if answer.headers.get("connection") == "close":
                        break
                    since = time.monotonic()

    def _ask(self, connection: socket.socket, since: float) -> Answer | None:
        """Return the answer to a request; None if the connection was closed.

        The service waits for a request for SETTLE_S before it closes a connection, here `since`: on a busy machine one
        may come later.
        """
        sent: float | None = None
        problem = "closed without an answer"
        try:
            connection.sendall(request(BODY))
            sent = time.monotonic()
            if (answer := answer_on(connection)) is not None:
                return answer
        except OSError as error:
            problem = repr(error)
        if (sent or time.monotonic()) - since < SETTLE_S:
            self.broken.append(problem)
        return None


def test_sigterm_under_load_answers_everything_and_resets_nothing(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, workers=2, drain_delay_ms=300) as service:
        clients = [Client(service.port) for _ in range(24)]
        for client in clients:
            client.start()
        service.wait_until(lambda: sum(len(client.answers) for client in clients) > 500)
        assert service.stop() == 0
        for client in clients:
            client.join(PATIENCE_S)
        assert [line for client in clients for line in client.broken] == []
    answers = [answer for client in clients for answer in client.answers]
    assert {answer.status for answer in answers} == {200}
    assert len(records(kafka.bootstrap_servers, topic)) == len(answers)


def test_a_request_in_hand_at_sigterm_gets_its_answer(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with (
        endpoint(tmp_path, kafka.bootstrap_servers, topic, body_timeout_ms=60_000) as service,
        service.connect() as connection,
    ):
        sent = request(BODY)
        connection.sendall(sent[:-10])
        service.wait_until(lambda: service.post().status == 200)
        service.signal(signal.SIGTERM)
        service.logged("draining")
        connection.sendall(sent[-10:])
        answer = answer_on(connection)
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert service.process.wait(PATIENCE_S) == 0


def test_readiness_goes_before_accepting_ends(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, drain_delay_ms=60_000) as service:
        service.signal(signal.SIGTERM)
        service.logged("draining")
        assert service.admin("/readyz")[0] == 503
        assert service.admin("/healthz")[0] == 200
        answer = service.post()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_a_missing_topic_or_source_stops_the_start_with_advice(kafka: Kafka, tmp_path: Path) -> None:
    def start(**variables: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("sternpost")
        settings = {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "INGEST__PORT": "0", "INGEST__ADMIN_PORT": "0"}
        environment = {f"STERNPOST_{name}": value for name, value in {**settings, **variables}.items()}
        return subprocess.run(
            [program, "ingest"],
            check=False,
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    none = start()
    assert (none.returncode, "STERNPOST_SOURCES" in none.stderr) == (78, True)
    source = '[{"name": "a", "write_keys": ["b"]}]'
    no_topic = start(SOURCES=source, TOPICS__RAW="test-not-there")
    assert (no_topic.returncode, "sternpost topics create" in no_topic.stderr) == (69, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        maker = TopicMaker(kafka)
        clash = start(SOURCES=source, TOPICS__RAW=maker.one(), INGEST__HOST="127.0.0.1", INGEST__PORT=port)
        maker.remove()
    assert (clash.returncode, "ingest.port" in clash.stderr) == (78, True)


def test_a_connection_cap_makes_the_rest_wait(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, max_connections=3) as service:
        held = [service.connect() for _ in range(3)]
        for connection in held:
            connection.sendall(request(BODY))
            assert (answer := answer_on(connection)) is not None
            assert answer.status == 200
        with service.connect(timeout_s=0.3) as waiting:
            waiting.sendall(request(BODY))
            with pytest.raises(TimeoutError):
                answer_on(waiting)
            held[0].close()
            waiting.settimeout(PATIENCE_S)
            assert (answer := answer_on(waiting)) is not None
            assert answer.status == 200
        for connection in held:
            connection.close()
