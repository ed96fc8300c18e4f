"""A running `sternpost ingest`, clients for it, and a reader of what it wrote."""

import contextlib
import hashlib
import hmac
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from confluent_kafka import Consumer, TopicPartition

from tests.support.kafka import SIGNING_KEY, STOP_MS, WRITE_KEY
from tests.support.waiting import PATIENCE_S

SIGNED = {"name": "signed", "write_keys": [WRITE_KEY, "second-write-key"], "signing_keys": ["older-key", SIGNING_KEY]}
UNSIGNED = {"name": "unsigned", "write_keys": ["open-key"], "signing_keys": []}
BODY = b'{"event_id":"01E4C4CT6YDC7Y5M7FE1GWWPQJ","data":{"identifiers":{"cio_id":"d9c106000001"}}}'
STATUSES = {200, 401, 404, 405, 408, 413, 503}
"""All statuses that the endpoint itself may return."""

PATIENT = """
from sternpost.cli import ingest
from sternpost.cli.main import main

run = ingest.run

def run_patiently(settings):
    section = settings.ingest.model_copy(update={"produce_deadline_ms": 60_000})
    return run(settings.model_copy(update={"ingest": section}))

ingest.run = run_patiently
main()
"""
"""The program with a deadline that the setting does not allow: brokers on a busy machine may need longer than
Customer.io waits, and tests that are not about the deadline want their 200."""

Headers = Mapping[str, str]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Record(NamedTuple):
    partition: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def signature(body: bytes, timestamp: int | None = None, key: str = SIGNING_KEY) -> dict[str, str]:
    """Return the headers that Customer.io adds."""
    at = str(int(time.time()) if timestamp is None else timestamp)
    digest = hmac.new(key.encode(), b"v0:%s:%s" % (at.encode(), body), hashlib.sha256).hexdigest()
    return {"X-CIO-Timestamp": at, "X-CIO-Signature": digest}


class Endpoint:
    """The service in a process of its own, started with a settings file that may be changed later."""

    def __init__(
        self, folder: Path, sections: Mapping[str, Mapping[str, Any]], sources: list[Mapping[str, Any]]
    ) -> None:
        self.file = folder / "sternpost.toml"
        self.log_file = folder / "ingest.log"
        self.open_files: int | None = None
        """The limit on open files that it is started with."""
        self.patient = False
        """Whether it waits for the brokers for a minute, whatever the settings say."""
        self._sections = {
            "ingest": {
                "host": "127.0.0.1",
                "port": 0,
                "admin_port": 0,
                "drain_delay_ms": 0,
                **sections.get("ingest", {}),
            },
            "log": {"format": "json"},
            **{name: dict(values) for name, values in sections.items() if name != "ingest"},
        }
        self.configure(sources)

    def configure(self, sources: list[Mapping[str, Any]]) -> None:
        """Write the settings file; JSON's scalars and lists are TOML's."""
        lines = []
        for name, values in self._sections.items():
            lines.append(f"[{name}]")
            lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items()]
        for source in sources:
            lines.append("[[sources]]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in source.items()]
        self.replace_file("\n".join(lines))

    def replace_file(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text, "utf-8")
        new.replace(self.file)

    def start(self, *, wait: bool = True) -> None:
        sternpost = [str(Path(sys.executable).with_name("sternpost"))]
        program = [sys.executable, "-c", PATIENT] if self.patient else sternpost
        command = [*program, "--config", str(self.file), "ingest"]
        if self.open_files is not None:
            command = ["sh", "-c", f'ulimit -n {self.open_files}; exec "$@"', "sh", *command]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
        self.port = int(self.logged("listening")["port"])
        self.admin_port = int(self.logged("started")["admin_port"])
        if wait:
            self.wait_until(lambda: self.admin("/readyz")[0] == 200)

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """Ask it to stop, and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it; its workers end with it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_bytes().splitlines()
        return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]

    def logged(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for the `count`-th line of that name, and return it."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log() if line.get("event") == event]

        self.wait_until(lambda: len(found()) >= count)
        return found()[count - 1]

    def wait_until(self, condition: "Any", timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.process.poll() is not None  # before the look: it may say something and end
            with contextlib.suppress(ConnectionError):
                if condition():
                    return
            if ended:
                raise AssertionError(f"ingest ended with {self.process.returncode}: {self.log_file.read_text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s} s in vain: {self.log_file.read_text()}")
            time.sleep(0.02)

    def admin(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, sample: str) -> float:
        """`sternpost_ingest_requests_total{outcome="not_found",source="-"}`; 0 where nothing was counted."""
        for line in self.admin("/metrics")[1].splitlines():
            if line.startswith(sample + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def post(
        self,
        body: bytes = BODY,
        headers: Headers | None = None,
        *,
        query: str = f"writeKey={WRITE_KEY}",
        path: str = "/v1/webhook",
        method: str = "POST",
        timeout_s: float = PATIENCE_S,
    ) -> Answer:
        """Send one request on its own connection, signed unless `headers` are given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, f"{path}?{query}", body, dict(signature(body) if headers is None else headers))
            return read_answer(connection.getresponse())
        finally:
            connection.close()

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def exchange(self, request: bytes, *, half_close: bool = False) -> Answer | None:
        """Send bytes on their own connection, and return the response, or None if it was closed first."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # it may refuse, and close, before it has read all
                connection.sendall(request)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            return answer_on(connection)


class _Kept(io.BufferedReader):
    """A response that leaves the connection open, because the next response may already be in the buffer."""

    def close(self) -> None:
        pass


class Answers:
    """The responses on one connection, in order."""

    def __init__(self, connection: socket.socket) -> None:
        self._reader = _Kept(connection.makefile("rb", buffering=0))

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self._reader

    def next(self) -> Answer | None:
        """Return the next response, or None if the connection was closed instead."""
        return answer_on(cast(socket.socket, self))


def answer_on(connection: socket.socket) -> Answer | None:
    """Return the next response if no other request is under way, or None if the connection was closed."""
    response = http.client.HTTPResponse(connection, method="POST")
    try:
        response.begin()
    except http.client.RemoteDisconnected:
        return None
    return read_answer(response)


def read_answer(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def request(body: bytes, headers: Headers | None = None, key: str = WRITE_KEY, length: int | None = None) -> bytes:
    """Return a request's bytes, signed unless `headers` are given."""
    lines = [f"POST /v1/webhook?writeKey={key} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in (signature(body) if headers is None else headers).items()]
    if length is None or length >= 0:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.contextmanager
def endpoint(
    folder: Path,
    bootstrap_servers: str,
    raw: str,
    *,
    sources: list[Mapping[str, Any]] | None = None,
    properties: Mapping[str, str] | None = None,
    wait: bool = True,
    open_files: int | None = None,
    patient: bool = True,
    **ingest: Any,
) -> Iterator[Endpoint]:
    """Start a service with the sources SIGNED and UNSIGNED; `ingest` are settings of that section.

    It is `patient` with brokers and clients unless `ingest` has a deadline.
    """
    if patient := patient and "produce_deadline_ms" not in ingest:
        ingest.setdefault("drain_timeout_ms", STOP_MS)
    sections: dict[str, Mapping[str, Any]] = {
        "kafka": {"bootstrap_servers": bootstrap_servers},
        "kafka.properties": properties or {},
        "topics": {"raw": raw},
        "ingest": ingest,
    }
    folder.mkdir(parents=True, exist_ok=True)
    running = Endpoint(folder, sections, sources or [SIGNED, UNSIGNED])
    running.open_files = open_files
    running.patient = patient
    try:
        running.start(wait=wait)
        yield running
    finally:
        running.kill()


def records(bootstrap_servers: str, topic: str) -> list[Record]:
    """Return all records in a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=PATIENCE_S)[1] for p in partitions}
        consumer.assign([TopicPartition(topic, p, 0) for p, end in ends.items() if end])
        found: list[Record] = []
        left = {p for p, end in ends.items() if end}
        while left:
            for message in consumer.consume(10_000, timeout=0.2):
                assert message.error() is None, message.error()
                headers = cast(list[tuple[str, bytes]], message.headers() or [])
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                found.append(
                    Record(
                        partition,
                        message.timestamp()[1],
                        message.key(),
                        cast(bytes, message.value()),
                        headers,
                    )
                )
                if offset + 1 >= ends[partition]:
                    left.discard(partition)
        return found
    finally:
        consumer.close()
