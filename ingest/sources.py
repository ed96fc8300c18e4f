"""The sources that may send webhooks, and the write key by which a request says which one it comes from."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from prometheus_client import Counter

from runtime import metrics
from runtime.settings import keys, model
from schemas.customerio import signature

NO_SOURCE = "-"
"""The label of requests without a known write key."""

_PARAMETER = "writeKey="


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
            signing_keys = (keys.trimmed(key.get_secret_value()).encode() for key in one.signing_keys)
            source = Source(one.name, signing_keys, outcomes)
            for secret in one.write_keys:
                key = _normalize(secret.get_secret_value().encode())
                self._by_digest[self._digest(key)] = (key, source)

    def find(self, key: bytes | None) -> Source | None:
        """Return the source of a key, as `extract_write_key` returns it; None if it is unknown."""
        if key is None:
            return None
        known = self._by_digest.get(self._digest(key))
        if known is None or not hmac.compare_digest(known[0], key):
            return None
        return known[1]

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=16, key=self._secret).digest()


def extract_write_key(query: str, authorization: str | None) -> bytes | None:
    """Return the first `writeKey` of the query that is not blank, else the user name of HTTP Basic, else None.

    It is in the form in which keys are compared.
    """
    if query.startswith(_PARAMETER) and "&" not in query and "%" not in query and "+" not in query and query.isascii():
        if key := query[len(_PARAMETER) :].encode():  # nearly all requests come this way
            return key
    else:
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if _normalize(unquote_to_bytes(name)) == b"writeKey" and (key := _normalize(unquote_to_bytes(value))):
                return key
    return _basic_user(authorization) if authorization else None


def _normalize(key: bytes) -> bytes:
    """Return the bytes of a key in the form in which keys are compared, whether or not they are UTF-8."""
    return keys.comparable(key.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _basic_user(authorization: str) -> bytes | None:
    scheme, _, credentials = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except (binascii.Error, ValueError):
        return None
    return _normalize(user) or None
