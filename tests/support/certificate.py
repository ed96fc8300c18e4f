"""Self-signed certificates, for 127.0.0.1 by default."""

import base64
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
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
    folder: Path,
    *,
    ends: datetime,
    password: bytes | None = None,
    address: str = "127.0.0.1",
    key: CertificateIssuerPrivateKeyTypes | None = None,
    critical: Iterable[x509.ExtensionType] = (),
    others: Iterable[x509.ExtensionType] = (),
) -> tuple[Path, Path]:
    """Write a certificate and its key to `folder`."""
    folder.mkdir(exist_ok=True)
    key = key or generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=400))
        .not_valid_after(ends)
        .add_extension(alternatives, critical=False)
    )
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    for extension in others:
        builder = builder.add_extension(extension, critical=False)
    hashed = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    signed = builder.sign(key, None if hashed else SHA256())
    protection: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(signed.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    return files


def make_version_1(folder: Path, *, ends: datetime) -> tuple[Path, Path]:
    """Write a certificate as `openssl x509 -req -signkey` of OpenSSL 3.0 makes it: of version 1, without extensions."""
    key = generate_rsa_key(65537, 2048)
    files = make(folder, ends=ends, key=key)
    version, extensions = b"\xa0\x03\x02\x01\x02", b"\xa3"  # both are tagged, and a version 1 has neither
    rest = x509.load_pem_x509_certificate(files[0].read_bytes()).tbs_certificate_bytes[4 + len(version) :]
    fields = _sequence(rest[: rest.rindex(extensions, 0, rest.rindex(b"\x55\x1d\x11"))])  # 2.5.29.17, the only one
    algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")  # sha256WithRSAEncryption
    signature = b"\x03\x82\x01\x01\x00" + key.sign(fields, PKCS1v15(), SHA256())
    signed = x509.load_der_x509_certificate(_sequence(fields + algorithm + signature))
    files[0].write_bytes(signed.public_bytes(Encoding.PEM))
    return files


def make_restricted_to_pss(folder: Path, *, ends: datetime) -> tuple[Path, Path]:
    """Write a certificate whose RSA key may sign by RSASSA-PSS only."""
    files = make(folder, ends=ends, key=generate_rsa_key(65537, 2048))
    rsa, pss = bytes.fromhex("2a864886f70d0101010500"), bytes.fromhex("2a864886f70d01010a3000")  # both of 11 bytes
    certificate = x509.load_pem_x509_certificate(files[0].read_bytes()).public_bytes(Encoding.DER)
    files[0].write_text(ssl.DER_cert_to_PEM_cert(certificate.replace(rsa, pss)))
    lines = files[1].read_text().splitlines()
    key = base64.b64decode("".join(lines[1:-1])).replace(rsa, pss)
    files[1].write_text("\n".join([lines[0], base64.encodebytes(key).decode().strip(), lines[-1], ""]))
    return files


def _sequence(content: bytes) -> bytes:
    """Return DER of 256 to 65,535 bytes as a sequence."""
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content
