"""The endpoint's TLS certificate: a check that it can be served, and the time at which it expires."""

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

from runtime.errors import ConfigurationError


def read_expiry(certificate: Path, key: Path) -> datetime:
    """Return the time at which the certificate expires.

    Raises ConfigurationError if the two files cannot be read or do not belong together.
    """
    try:
        # Without a password, OpenSSL would ask for an encrypted key's password on the terminal and wait.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
        expiry: datetime = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"the certificate {certificate} (ingest.tls_certificate) and the key {key} (ingest.tls_key) cannot be "
            f"used: {reason}; both must be readable PEM files, and the key must belong to the certificate and have "
            "no password"
        ) from None
    return expiry
