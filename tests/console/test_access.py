"""The rules of `sternpost.console.access`, each broken by a request over a socket."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runtime.settings.model import Settings
from tests.console.console import PROGRAM, ConsoleStarter, RunningConsole, without_a_cluster
from tests.support import certificate
from tests.support.waiting import PATIENCE_S


class Client:
    """A client that is no browser: it sends what it is told."""

    def __init__(self, console: RunningConsole) -> None:
        self.console = console
        self.host = urlsplit(console.origin).netloc

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        host, port = self.host.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def log_in(self) -> str:
        """Use the newest token, and return the cookie."""
        _, headers, _ = self.ask(path_of(self.console.addresses[-1]))
        return headers["set-cookie"].partition(";")[0]


WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


def path_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningConsole]:
    """One for all tests that do not mind what others did with it."""
    starter = ConsoleStarter(tmp_path_factory.mktemp("shared"))
    yield starter(without_a_cluster())
    starter.stop()


def test_who_has_no_cookie_sees_nothing(console: RunningConsole) -> None:
    client = Client(console)
    for path in ("/", "/static/console.css", "/_nicegui/", "/nowhere", "/favicon.ico", "/docs", "/openapi.json"):
        status, headers, body = client.ask(path)
        assert status == 401, path
        assert "set-cookie" not in headers
        assert "sternpost console" in body
    assert client.ask("/", Cookie="sternpost-console-1=guessed")[0] == 401
    assert client.ask("/?token=guessed")[0] == 303
    assert "set-cookie" not in client.ask("/?token=guessed")[1]


def test_cookies_of_other_programs_on_this_host_do_not_matter(console: RunningConsole) -> None:
    client = Client(console)
    own = client.log_in()
    for other in ('prefs={"theme":"dark","n":1}', "last=Mon 1 Jan", "seen", "cookie(a)=1", "a=b=c", "=", ";;"):
        assert client.ask("/", Cookie=f"{other}; {own}; {other}")[0] == 200, other
        assert client.ask("/", Cookie=f"{other}; {own}x")[0] == 401, other


def test_a_token_works_once_and_is_gone_from_the_address(start_console: ConsoleStarter) -> None:
    console = start_console(without_a_cluster())
    client = Client(console)
    [address] = console.addresses
    status, headers, _ = client.ask(path_of(address).replace("/?", "/live?person=x&"))
    assert (status, headers["location"]) == (303, "/live?person=x")
    cookie = headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert client.ask("/", Cookie=cookie.partition(";")[0])[0] == 200

    _, again, _ = client.ask(path_of(address))
    assert "set-cookie" not in again
    assert len(console.addresses) == 2, "there is another address for another browser"
    assert client.ask("/", Cookie=client.log_in())[0] == 200


def test_a_look_at_the_address_does_not_use_it_up(console: RunningConsole) -> None:
    client = Client(console)
    assert "set-cookie" not in client.ask(path_of(console.addresses[-1]), method="HEAD")[1]
    assert client.ask("/", Cookie=client.log_in())[0] == 200


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", "127.0.0.1.attacker.example", "", "["])
def test_another_hosts_name_is_refused(console: RunningConsole, host: str) -> None:
    client = Client(console)
    cookie = client.log_in()
    status, _, body = client.ask("/", Host=host, Cookie=cookie)
    assert status in (400, 421)
    assert "Overview" not in body
    [*_, address] = console.addresses
    assert "set-cookie" not in client.ask(path_of(address), Host=host)[1]


def test_a_forwarded_port_is_fine(console: RunningConsole) -> None:
    client = Client(console)
    assert client.ask("/", Host="localhost:9999", Cookie=client.log_in())[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_sites_request_is_refused(console: RunningConsole, headers: dict[str, str]) -> None:
    client = Client(console)
    cookie = client.log_in()
    assert client.ask("/", Cookie=cookie, **headers)[0] == 403
    assert client.ask(SOCKET, Cookie=cookie, **WEBSOCKET, **headers)[0] == 403


def test_a_websocket_needs_cookie_and_origin(console: RunningConsole) -> None:
    client = Client(console)
    cookie = client.log_in()
    own = {"Origin": console.origin}
    assert client.ask(SOCKET, Cookie=cookie, **WEBSOCKET)[0] == 403
    assert client.ask(SOCKET, **WEBSOCKET, **own)[0] == 403
    assert _upgraded(console, cookie)


def _upgraded(console: RunningConsole, cookie: str) -> bool:
    host, port = urlsplit(console.origin).netloc.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    headers = {name.replace("_", "-"): value for name, value in WEBSOCKET.items()}
    connection.request("GET", SOCKET, headers={**headers, "Cookie": cookie, "Origin": console.origin})
    try:
        return connection.getresponse().status == 101
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_is_done_by_a_request(console: RunningConsole, method: str) -> None:
    client = Client(console)
    status, headers, _ = client.ask("/", method=method, Cookie=client.log_in())
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_what_every_answer_says(console: RunningConsole) -> None:
    client = Client(console)
    cookie = client.log_in()
    nonces = set()
    for path in ("/", "/nowhere", "/static/console.css"):
        _, headers, body = client.ask(path, Cookie=cookie)
        policy = {rule.split()[0]: rule.split()[1:] for rule in headers["content-security-policy"].split(";")}
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
        assert "'unsafe-inline'" not in policy["script-src"]
        [nonce] = [source for source in policy["script-src"] if source.startswith("'nonce-")]
        nonces.add(nonce)
        assert not any("http" in source for sources in policy.values() for source in sources)
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert body.count("<script") == body.count(f'<script nonce="{nonce[7:-1]}"')
    assert len(nonces) == 3


def test_a_client_does_not_choose_the_pages_addresses(console: RunningConsole) -> None:
    client = Client(console)
    _, _, body = client.ask("/", Cookie=client.log_in(), X_Forwarded_Prefix="//attacker.example")
    assert "attacker" not in body


def test_tokens_and_addresses_are_not_logged(start_console: ConsoleStarter) -> None:
    console = start_console(without_a_cluster())
    client = Client(console)
    cookie = client.log_in()
    client.ask("/event/test/someone@example.com", Cookie=cookie)
    client.ask("/nowhere?person=someone@example.com", Cookie=cookie)
    assert console.stop() == 0
    assert "someone" not in console.log
    for address in console.addresses:
        assert address.partition("token=")[2] not in console.log
    assert cookie.partition("=")[2] not in console.log


def run(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    assignments = [f"--set=console.{name}={value}" for name, value in settings.items()]
    return subprocess.run(
        [PROGRAM, *assignments, "console", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_beyond_this_machine_it_needs_tls_and_a_name(host: str, tmp_path: Path) -> None:
    refused = run("--host", host, "--port", "0")
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "console.tls_certificate" in refused.stderr

    crt, key = certificate.make(tmp_path, ends=datetime.now(UTC) + timedelta(days=1))
    refused = run("--host", host, "--port", "0", "--tls-certificate", str(crt), "--tls-key", str(key))
    assert refused.returncode == 78
    assert "console.allowed_hosts" in refused.stderr


def test_a_wrong_certificate_or_address_is_said(tmp_path: Path) -> None:
    crt, key = certificate.make(tmp_path, ends=datetime.now(UTC) + timedelta(days=1))
    for arguments, named in [
        (["--tls-certificate", str(crt)], "console.tls_key"),
        (["--tls-certificate", str(crt), "--tls-key", str(crt)], "console.tls_key"),
        (["--tls-certificate", str(tmp_path / "none"), "--tls-key", str(key)], "console.tls_certificate"),
        (["--host", "no.such.host.invalid"], "console"),
        (["--host", "127.0.0.1", "--port", "99999"], "console.port"),
    ]:
        refused = run(*arguments)
        assert refused.returncode == 78, arguments
        assert named in refused.stderr
        assert "Traceback" not in refused.stderr


def test_with_tls_the_cookie_is_for_tls_alone(start_console: ConsoleStarter, tmp_path: Path) -> None:
    import ssl

    crt, key = certificate.make(tmp_path, ends=datetime.now(UTC) + timedelta(days=1))
    settings = Settings.model_validate(
        {
            **without_a_cluster().model_dump(exclude={"console", "processor"}),
            "console": {
                "host": "0.0.0.0",
                "allowed_hosts": ["127.0.0.1"],
                "tls_certificate": str(crt),
                "tls_key": str(key),
            },
        }
    )
    console = start_console(settings)
    assert console.origin.startswith("https://127.0.0.1:")
    host, port = urlsplit(console.origin).netloc.split(":")
    context = ssl.create_default_context(cafile=str(crt))
    connection = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE_S, context=context)
    connection.request("GET", path_of(console.addresses[0]))
    cookie = connection.getresponse().getheader("set-cookie") or ""
    connection.close()
    assert cookie.startswith("__Host-")
    assert "; Secure" in cookie


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "hidden.py").write_text(
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'nicegui' else find(name, *rest)\n"
        "sys.argv = ['sternpost', 'console']\n"
        "from sternpost.cli.main import main\n"
        "main()\n"
    )
    refused = subprocess.run(
        [sys.executable, str(tmp_path / "hidden.py")], capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 78
    assert "sternpost[console]" in refused.stderr
