"""Who may send: sources, each with its write keys and its signing keys."""

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
"""The label of requests that came with no known write key."""


class Source:
    """One sender, with all that a request of his needs looked up."""

    __slots__ = ("name", "name_bytes", "requests", "signature_failures", "signers")

    def __init__(self, name: str, signing_keys: Iterable[bytes], outcomes: Iterable[str]) -> None:
        self.name = name
        self.name_bytes = name.encode()
        self.signers = tuple(map(signature.signer, signing_keys))
        """With none, requests need no signature."""
        self.requests: Mapping[str, metrics.BufferedCounter] = {
            outcome: metrics.buffered_counter(metrics.INGEST_REQUESTS, name, outcome) for outcome in outcomes
        }
        self.signature_failures: dict[str, Counter] = {}

    def signature_failed(self, reason: str) -> None:
        if reason not in self.signature_failures:
            self.signature_failures[reason] = metrics.INGEST_SIGNATURE_FAILURES.labels(self.name, reason)
        self.signature_failures[reason].inc()


class Sources:
    """All senders, found by write key; replaced as a whole when the settings change."""

    def __init__(self, configured: Iterable[model.SourceSettings], outcomes: Iterable[str]) -> None:
        outcomes = tuple(outcomes)
        self.nobody = Source(NO_SOURCE, (), outcomes)
        # Keys are looked up by a digest under a secret of this process, so that how long a look-up takes tells
        # nothing about the keys there are, however many sources they belong to.
        self._secret = secrets.token_bytes(32)
        self._by_digest: dict[bytes, tuple[bytes, Source]] = {}
        for one in configured:
            source = Source(one.name, (key.get_secret_value().strip().encode() for key in one.signing_keys), outcomes)
            for secret in one.write_keys:
                key = write_key.comparable(secret.get_secret_value().encode())
                self._by_digest[self._digest(key)] = (key, source)

    def find(self, key: bytes | None) -> Source | None:
        """Whose key it is, if anyone's; `key` is in the form of `write_key.comparable`."""
        if key is None:
            return None
        known = self._by_digest.get(self._digest(key))
        if known is None or not hmac.compare_digest(known[0], key):
            return None
        return known[1]

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=16, key=self._secret).digest()
