"""The endpoint's TLS certificate: whether it can be served, and when it expires."""

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, PublicKeyAlgorithmOID

from runtime.errors import ConfigurationError

KEYS = "RSA of 2048, 3072 or 4096 bits, ECDSA on P-256 or P-384, or Ed25519"

_EXTENSIONS = {
    ExtensionOID.KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.EXTENDED_KEY_USAGE,
}
"""Those that may be critical."""


def read_expiry(certificate: Path, key: Path) -> datetime:
    """Return the time at which the certificate expires.

    Raises ConfigurationError if the two files cannot be read or do not belong together, or if the server cannot use
    them.
    """
    files = f"the certificate {certificate} (ingest.tls_certificate) and the key {key} (ingest.tls_key) cannot be used"
    try:
        # Without a password, OpenSSL would ask for an encrypted key's password on the terminal and wait.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
        first = x509.load_pem_x509_certificate(certificate.read_bytes())
        expiry: datetime = first.not_valid_after_utc
        obstacle = _obstacle(first)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"{files}: {reason}; both must be readable PEM files, and the key must belong to the certificate and have "
            "no password"
        ) from None
    if obstacle:
        raise ConfigurationError(
            f"{files}: {obstacle}; use an X.509 version 3 certificate whose key is {KEYS}, or let a proxy speak TLS"
        )
    return expiry


def _obstacle(certificate: x509.Certificate) -> str | None:
    """Return why the server could not use a certificate that OpenSSL takes, else None.

    The server speaks TLS by rustls with ring, and ends the process for what these do not take.

    https://docs.rs/crate/rustls/0.23.0/source/src/crypto/ring/sign.rs (kinds of keys)
    https://docs.rs/ring/0.17/ring/rsa/struct.KeyPair.html (RSA)
    https://docs.rs/crate/rustls-webpki/0.103.2/source/src/cert.rs (versions and extensions)
    """
    if certificate.version is not x509.Version.v3:
        return "it is of X.509 version 1"
    match certificate.public_key():
        case rsa.RSAPublicKey() as key:
            known = (
                certificate.public_key_algorithm_oid != PublicKeyAlgorithmOID.RSASSA_PSS
                and key.key_size in (2048, 3072, 4096)
                and key.public_numbers().e >= 65537
            )
        case ec.EllipticCurvePublicKey(curve=curve):
            known = isinstance(curve, ec.SECP256R1 | ec.SECP384R1)
        case key:
            known = isinstance(key, ed25519.Ed25519PublicKey)
    if not known:
        return "its key is of a kind that the endpoint does not take"
    try:
        unknown = [one.oid for one in certificate.extensions if one.critical and one.oid not in _EXTENSIONS]
    except Exception:  # this parser is stricter than the server's, which does not look into most of them
        return None
    return f"its extension {unknown[0].dotted_string} is critical, and unknown to the endpoint" if unknown else None
