"""The sources that may send webhooks, each with its write keys and its signing keys."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

from prometheus_client import Counter

from ingest import write_key
from runtime import metrics
from runtime.settings import model
from schemas.customerio import signature

NO_SOURCE = "-"
"""The label of requests without a known write key."""


class Source:
    """A source, with everything that its requests need prepared."""

    __slots__ = ("name", "name_bytes", "requests", "signature_failures", "signers")

    def __init__(self, name: str, signing_keys: Iterable[bytes], outcomes: Iterable[str]) -> None:
        """Prepare the signing keys, and a counter for each outcome of a request."""
        self.name = name
        self.name_bytes = name.encode()
        self.signers = tuple(map(signature.signer, signing_keys))
        """If empty, requests need no signature."""
        self.requests: Mapping[str, metrics.BufferedCounter] = {
            outcome: metrics.buffered_counter(metrics.INGEST_REQUESTS, name, outcome) for outcome in outcomes
        }
        self.signature_failures: dict[str, Counter] = {}

    def count_signature_failure(self, reason: str) -> None:
        """Count a request whose signature is missing, malformed, expired or wrong."""
        if reason not in self.signature_failures:
            self.signature_failures[reason] = metrics.INGEST_SIGNATURE_FAILURES.labels(self.name, reason)
        self.signature_failures[reason].inc()


class Sources:
    """All sources, found by write key. A reload replaces the whole object."""

    def __init__(self, configured: Iterable[model.SourceSettings], outcomes: Iterable[str]) -> None:
        """Index the configured sources by their write keys."""
        outcomes = tuple(outcomes)
        self.nobody = Source(NO_SOURCE, (), outcomes)
        # Keys are looked up by a digest under a secret of this process, so the time that a look-up takes tells nothing
        # about the keys, however many sources there are.
        self._secret = secrets.token_bytes(32)
        self._by_digest: dict[bytes, tuple[bytes, Source]] = {}
        for one in configured:
            source = Source(one.name, (key.get_secret_value().strip().encode() for key in one.signing_keys), outcomes)
            for secret in one.write_keys:
                key = write_key.normalize(secret.get_secret_value().encode())
                self._by_digest[self._digest(key)] = (key, source)

    def find(self, key: bytes | None) -> Source | None:
        """Return the source of a key, which is in the form of `write_key.normalize`; None if it is unknown."""
        if key is None:
            return None
        known = self._by_digest.get(self._digest(key))
        if known is None or not hmac.compare_digest(known[0], key):
            return None
        return known[1]

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=16, key=self._secret).digest()
