"""The health check for containers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from click.testing import CliRunner, Result

from runtime.admin_listener import serve
from runtime.errors import CheckFailedError, ConfigurationError
from sternpost.cli.main import cli


def check(*arguments: str, ingest: int, processor: int) -> Result:
    ports = ["--set", f"ingest.admin_port={ingest}", "--set", f"processor.admin_port={processor}"]
    return CliRunner().invoke(cli, [*ports, "healthcheck", *arguments])


@contextmanager
def service(*, alive: bool = True, ready: bool = True, host: str = "127.0.0.1") -> Iterator[int]:
    admin = serve(host, 0, ready=lambda: (ready, "waits for the schema"), alive=lambda: (alive, "no heartbeat"))
    try:
        yield admin.port
    finally:
        admin.close()


@contextmanager
def nobody() -> Iterator[int]:
    """A port that is bound, so that nobody else takes it, and that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_the_one_service_of_a_container_is_found_by_itself() -> None:
    with service() as ours, nobody() as other:
        assert check(ingest=ours, processor=other).exit_code == 0
        assert check(ingest=other, processor=ours).exit_code == 0


def test_a_service_that_listens_on_every_address_is_asked_over_loopback() -> None:
    with service(host="0.0.0.0") as ours, nobody() as other:
        result = check("--ready", "ingest", ingest=ours, processor=other)
        assert result.exit_code == 0, result.output


def test_no_service_at_all_fails_and_names_both_settings() -> None:
    with nobody() as one, nobody() as other:
        result = check(ingest=one, processor=other)
    assert isinstance(result.exception, CheckFailedError)
    assert f"ingest.admin_port 127.0.0.1:{one}" in str(result.exception)
    assert f"processor.admin_port 127.0.0.1:{other}" in str(result.exception)


def test_of_two_services_an_unhealthy_one_fails_the_check() -> None:
    with service() as good, service(alive=False) as hung:
        result = check(ingest=good, processor=hung)
        assert isinstance(result.exception, CheckFailedError)
        assert "processor answers 503" in str(result.exception)
        assert "no heartbeat" in str(result.exception)
        assert check("ingest", ingest=good, processor=hung).exit_code == 0


def test_a_service_that_waits_is_alive_but_not_ready() -> None:
    with service(ready=False) as waiting, nobody() as other:
        assert check(ingest=other, processor=waiting).exit_code == 0
        result = check("--ready", ingest=other, processor=waiting)
        assert isinstance(result.exception, CheckFailedError)
        assert "waits for the schema" in str(result.exception)


def test_something_else_on_the_port_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.listen()
        port = mute.getsockname()[1]

        def hang_up() -> None:
            connection, _ = mute.accept()
            connection.close()

        thread = Thread(target=hang_up)
        thread.start()
        result = check("ingest", ingest=port, processor=0)
        thread.join()
    assert isinstance(result.exception, CheckFailedError)
    assert "does not answer" in str(result.exception)


def test_a_port_that_is_chosen_at_start_cannot_be_asked() -> None:
    result = check("ingest", ingest=0, processor=0)
    assert isinstance(result.exception, ConfigurationError)
    assert "ingest.admin_port" in str(result.exception)
    assert isinstance(check(ingest=0, processor=0).exception, CheckFailedError)
