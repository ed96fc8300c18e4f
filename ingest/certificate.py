"""The endpoint's TLS certificate: whether it can be served, and until when clients take it."""

import ssl
from datetime import datetime
from pathlib import Path

from runtime.errors import ConfigurationError


def expiry(certificate: Path, key: Path) -> datetime:
    """When the certificate ends.

    Raises ConfigurationError where the two files cannot be read, or not be used together.
    """
    from cryptography import x509  # heavy, and for TLS alone

    try:
        # Without a password, OpenSSL would ask for that of an encrypted key on the terminal, and wait.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
        ends: datetime = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"the certificate {certificate} (ingest.tls_certificate) and the key {key} (ingest.tls_key) cannot be "
            f"used: {reason}; both must be readable PEM, and the key that of the certificate, without a password"
        ) from None
    return ends
