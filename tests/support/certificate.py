"""Self-signed certificates, for 127.0.0.1 by default."""

from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


def make(
    folder: Path, *, ends: datetime, password: bytes | None = None, address: str = "127.0.0.1"
) -> tuple[Path, Path]:
    """Write a certificate and its key to `folder`."""
    folder.mkdir(exist_ok=True)
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=400))
        .not_valid_after(ends)
        .add_extension(alternatives, critical=False)
        .sign(key, SHA256())
    )
    protection: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(signed.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    return files
