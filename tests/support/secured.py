"""A broker with TLS, SASL and an authorizer, and a registry behind TLS and Basic auth."""

import datetime
import http.client
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sternpost.local import ports
from sternpost.local.artifacts import Cache
from sternpost.local.broker import Member, new_id, server_properties
from sternpost.local.installation import install
from tests.support.serving import serving
from tests.support.waiting import PATIENCE_S, until

ADMIN = "admin"
_JAAS = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecuredBroker:
    address: str
    ca_file: Path

    def properties(self, user: str) -> dict[str, str]:
        """Return `kafka.properties` of a user: PLAIN for the administrator, SCRAM for all others."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN" if user == ADMIN else "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": f"{user}-secret",
            "ssl.ca.location": str(self.ca_file),
        }

    def add_users(self, names: list[str]) -> None:
        """Return once each can sign in: the controller answers a moment before the broker knows them."""
        admin = AdminClient({"bootstrap.servers": self.address, **self.properties(ADMIN)})
        credentials = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        users: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(name, credentials, f"{name}-secret".encode()) for name in names
        ]
        for added in admin.alter_user_scram_credentials(users).values():
            added.result(PATIENCE_S)
        for name in names:
            until(partial(self._signs_in, name))

    def _signs_in(self, user: str) -> bool:
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0, **self.properties(user)})
        with suppress(KafkaException):
            return bool(client.list_topics(timeout=20).brokers)
        return False


def certificates(folder: Path) -> tuple[Path, Path]:
    """Write PEM files: a certificate authority's certificate, and a certificate with its key for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])

    def certificate(name: x509.Name, public_key: Any, extensions: list[x509.ExtensionType]) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(ca_key, hashes.SHA256())

    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    usage = {
        name: name in ("key_cert_sign", "digital_signature")
        for name in (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        )
    }
    ca = certificate(
        ca_name,
        ca_key.public_key(),
        [x509.BasicConstraints(ca=True, path_length=None), ca_identifier, x509.KeyUsage(**usage)],
    )
    server = certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]),
        key.public_key(),
        [
            x509.BasicConstraints(ca=False, path_length=None),
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier),
        ],
    )
    pem = serialization.Encoding.PEM
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(pem))
    server_file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + server.public_bytes(pem)
        + ca.public_bytes(pem)
    )
    return ca_file, server_file


@contextmanager
def broker_behind(
    folder: Path, protocol: str, properties: Mapping[str, str], classes: Sequence[Path] = ()
) -> Iterator[str]:
    """Start one broker with a listener of the protocol (`SSL`, `SASL_PLAINTEXT` …), and return its address.

    `classes` are folders or jars to put on its class path.
    """
    member = Member(1, ports.choose(0, "the broker", ""), ports.choose(0, "the controller", ""))
    plain = server_properties(member, [member], folder)
    ours = {
        "listeners": plain["listeners"].replace("PLAINTEXT://", f"{protocol}://", 1),
        "advertised.listeners": plain["advertised.listeners"].replace("PLAINTEXT://", f"{protocol}://"),
        "inter.broker.listener.name": protocol,
        "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:PLAINTEXT",
    }
    installation = install(Cache(), registry=False)
    installation = replace(installation, jars=[*installation.jars, *classes])
    broker = installation.broker(member, [member], new_id(), folder, {**ours, **properties})
    try:
        broker.start()
        broker.wait_ready()
        yield broker.address
    finally:
        broker.kill()


@contextmanager
def secured_broker(folder: Path, ca_file: Path, server_file: Path) -> Iterator[SecuredBroker]:
    """Start one broker on which only the administrator has rights."""
    login = f'{_JAAS}.plain.PlainLoginModule required username="{ADMIN}" password="{ADMIN}-secret"'
    properties = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} user_{ADMIN}="{ADMIN}-secret";',
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_JAAS}.scram.ScramLoginModule required;",
        **tls_properties(ca_file, server_file),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The controller's own listener, on which the broker is anonymous, is not for clients.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
    }
    with broker_behind(folder, "SASL_SSL", properties) as address:
        yield SecuredBroker(address, ca_file)


def tls_properties(ca_file: Path, server_file: Path) -> dict[str, str]:
    """Return a broker's properties for a certificate with its key, and the authority that it trusts."""
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server_file),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca_file),
    }


def basic(user: str, password: str) -> str:
    """Return the header `Authorization` of a user."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def secured_registry(
    registry_url: str,
    server_file: Path,
    authorization: str | Callable[[str | None], bool] | None = None,
    client_ca: Path | None = None,
) -> Iterator[str]:
    """Run a proxy with TLS before the registry, and return its address.

    It wants this header `Authorization`, or one that the function accepts, and a client certificate of this authority,
    unless they are None.
    """
    target = urlsplit(registry_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response is one packet, and its second half need not wait for the client's acknowledgement

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            header = self.headers.get("Authorization")
            accepted = authorization(header) if callable(authorization) else authorization in (None, header)
            if not accepted:
                self._answer(401, b'{"error_code":401,"message":"who are you?"}')
                return
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=PATIENCE_S)
            headers = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, answer.read())
            connection.close()

        do_GET = do_POST = do_PUT = _pass_on  # noqa: N815

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield f"https://127.0.0.1:{server.server_address[1]}{target.path}"
