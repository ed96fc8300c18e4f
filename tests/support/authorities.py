"""Certificates of authorities that a test makes up, as PEM files: right, of a stranger, and expired."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True)
class Identity:
    """A certificate, and its key."""

    certificate: Path
    key: Path


class Authority:
    """An authority with its own certificate in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, expired: bool = False) -> Identity:
        """Issue a certificate for a name or an address."""
        now = datetime.datetime.now(datetime.UTC)
        ends = now - datetime.timedelta(hours=1) if expired else now + datetime.timedelta(days=1)
        issued = self._ca.issue_cert(name, not_before=now - datetime.timedelta(days=2), not_after=ends)
        found = Identity(*(self._folder / f"{self._name}-{name}-{expired}.{kind}" for kind in ("crt", "key")))
        found.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        found.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return found

    def server(self) -> Path:
        """Issue a certificate for 127.0.0.1, in one file with its key, as servers take it."""
        issued = self.issue("127.0.0.1")
        both = self._folder / f"{self._name}-server.pem"
        both.write_bytes(issued.key.read_bytes() + issued.certificate.read_bytes())
        return both
