"""What Kafka's errors mean: kinds of error by code, sentences for people, and why brokers cannot be reached.

The codes: https://kafka.apache.org/protocol.html#protocol_error_codes, and librdkafka's own (negative) in
https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h.

A call to an unreachable cluster ends with a time-out that says nothing. The reason is in librdkafka's error callback
and in its log lines, so every client (`runtime.kafka.clients`) hands both to its cluster's `BrokerFailures`.
"""

import re
import time
from functools import cache
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from runtime.errors import KafkaRequestError
from runtime.settings.model import Settings

TIMEOUT_ERRORS = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
    }
)
"""A broker did not answer in time, or not at all."""

LEADERSHIP_ERRORS = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
"""A leader or coordinator is missing, or has just moved to another broker."""

UNAVAILABLE_ERRORS = TIMEOUT_ERRORS | LEADERSHIP_ERRORS
"""Only part of the cluster answers."""

UNAVAILABLE_NAMES = frozenset(KafkaError(code).name() for code in UNAVAILABLE_ERRORS)
"""The same, as `KafkaRequestError.name` has them."""

CONNECTION_ERRORS = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)
"""No connection, whatever the reason."""

TRANSIENT_ERRORS = UNAVAILABLE_ERRORS | {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
"""Errors among a consumer's messages after which the client goes on by itself. `KafkaError.retriable()` does not tell:
only the calls of a transactional producer set it
(https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h, rd_kafka_error_is_retriable)."""

RETRIED_ERRORS = LEADERSHIP_ERRORS | {KafkaError._TIMED_OUT}
"""Errors after which a request is sent again (`retry_transient`). One that was sent while a coordinator is being
elected may never be answered; a new one is."""

AUTHORIZATION_ERRORS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""The user lacks a right."""

RECORD_ERRORS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
    }
)
"""What brokers say of a record that they will never take, however often it is sent. INVALID_TIMESTAMP is not among
them: our records are dated by the clock, so the clock is at fault, and every record is refused (`clocks_differ`)."""

FENCING_ERRORS = frozenset(
    {KafkaError._FATAL, KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
"""What a producer hears once its place was taken; _FATAL in answer to calls after the first."""

REMEMBER_S = 30.0
"""A failure counts as a reason for this long."""

GRACE_S = 4.0
"""How long to wait before a failure that a broker's restart may also cause counts as final."""

_PLACE = re.compile(r"^(?:(?P<protocol>\w+)://)?(?P<broker>[^\s/]+)/\S*: (?P<text>.*)$", re.DOTALL)
_DURATION = re.compile(r"\s*\(after \d+ms in state \w+\)|, \d+ identical error\(s\) suppressed")

_ELAPSED = re.compile(r" after \d+ ms")
_OAUTHBEARER_ADVICE = (
    "check the properties under sasl.oauthbearer in kafka.properties, and that their endpoint answers; with "
    "kafka.msk_iam_region, the AWS credentials"
)


class Failure(NamedTuple):
    """Why one broker could not be reached."""

    broker: str
    """`host:port`."""
    text: str
    """librdkafka's text, without durations and counts."""
    advice: str
    is_final: bool
    """Whether waiting cannot help: credentials, certificates and names do not fix themselves."""
    at: float
    """`time.monotonic()`."""

    def __str__(self) -> str:
        return f"{self.broker}: {self.text}; {self.advice}"


class BrokerFailures:
    """The latest failure to reach each broker of one cluster, as reported to the clients of this process."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap = {_address(server) for server in bootstrap_servers.split(",") if server.strip()}
        self._latest: dict[str, Failure] = {}

    def add(self, line: str) -> None:
        """Take a line, from librdkafka's log or a KafkaError, about one broker, or about a token for all brokers."""
        if line.startswith("Failed to acquire SASL OAUTHBEARER token: "):
            text = re.sub(r"\s+", " ", _ELAPSED.sub("", line)).strip()
            for server in self._bootstrap:
                self._latest[server] = Failure(server, text, _OAUTHBEARER_ADVICE, False, time.monotonic())
            return
        place = _PLACE.match(line)
        if place is None:
            return
        text = re.sub(r"\s+", " ", _DURATION.sub("", place["text"])).strip()
        state = re.search(r"in state (\w+)", line)
        advice, is_final = _advice(text, place["protocol"] or "plaintext", state[1] if state else "")
        failure = Failure(place["broker"], text, advice, is_final, time.monotonic())
        known = self._latest.get(failure.broker)
        # A retry fails with a vaguer message: keep the more specific one.
        if known is not None and known.is_final and not is_final and known.at > failure.at - REMEMBER_S:
            failure = known._replace(at=failure.at)
        self._latest[failure.broker] = failure

    def reason(self) -> Failure | None:
        """Return the most telling recent failure, or None if there was none."""
        return max(self._recent().values(), key=lambda failure: (failure.is_final, failure.at), default=None)

    def are_everywhere(self) -> bool:
        """Return whether recently no broker of `kafka.bootstrap_servers` could be reached."""
        return self._bootstrap <= self._recent().keys()

    def _recent(self) -> dict[str, Failure]:
        since = time.monotonic() - REMEMBER_S
        return {broker: failure for broker, failure in self._latest.copy().items() if failure.at > since}

    def are_final(self, since: float) -> bool:
        """Return whether no broker of `kafka.bootstrap_servers` can be reached and waiting will not help.

        It will not if the reasons are final, or have lasted for GRACE_S. `since` is a `time.monotonic()` before the
        first try.
        """
        found = [self._latest.get(server) for server in self._bootstrap]
        waited = time.monotonic() - since > GRACE_S
        return bool(found) and all(
            failure is not None and failure.at >= since and (failure.is_final or waited) for failure in found
        )


@cache
def failures_of(bootstrap_servers: str) -> BrokerFailures:
    """Return the failures of a cluster, which all clients of this process share."""
    return BrokerFailures(bootstrap_servers)


def why_unreachable(settings: Settings) -> str:
    """Return why brokers cannot be reached, as far as this process's clients know; otherwise an empty text."""
    failure = failures_of(settings.kafka.bootstrap_servers).reason()
    return str(failure) if failure else ""


def unreachable(settings: Settings, error: BaseException) -> KafkaRequestError:
    """Return the error for brokers that do not answer or refuse what was asked, from what a client raised."""
    reason = error.args[0] if isinstance(error, KafkaException) and error.args else None
    servers = settings.kafka.bootstrap_servers
    if not isinstance(reason, KafkaError):
        return KafkaRequestError(f"Kafka at {servers} does not answer ({error})", "check kafka.bootstrap_servers")
    return request_error(settings, reason)


def request_error(settings: Settings, reason: KafkaError) -> KafkaRequestError:
    """Return the error for what a broker or librdkafka said."""
    servers, name, detail = settings.kafka.bootstrap_servers, reason.name(), reason.str()
    if reason.code() in AUTHORIZATION_ERRORS:
        return access_denied(settings, reason)
    if reason.code() == KafkaError.INVALID_TIMESTAMP:
        return clocks_differ(settings, reason)
    failures = failures_of(servers)
    why = failures.reason() if reason.code() in CONNECTION_ERRORS | UNAVAILABLE_ERRORS else None
    if why is not None and failures.are_everywhere():
        return KafkaRequestError(f"no Kafka broker at {servers} answers ({why})", name=name, detail=detail)
    if reason.code() in UNAVAILABLE_ERRORS:
        return KafkaRequestError(
            f"Kafka at {servers} does not answer in time ({why or detail}): brokers are down, or have only just come "
            "back",
            "`sternpost doctor` says which",
            name=name,
            detail=detail,
        )
    if reason.code() > 0:  # a broker's answer; librdkafka's own errors are negative
        return KafkaRequestError(f"Kafka at {servers} refused the request ({detail})", name=name, detail=detail)
    return KafkaRequestError(
        f"no Kafka broker at {servers} answers ({why or detail})",
        "check kafka.bootstrap_servers, and kafka.properties if the cluster wants TLS or SASL",
        name=name,
        detail=detail,
    )


def access_denied(settings: Settings, reason: KafkaError, what: str = "do that") -> KafkaRequestError:
    """Return the error for a right that this user lacks. `what` completes "does not let this user …"."""
    return KafkaRequestError(
        f"Kafka at {settings.kafka.bootstrap_servers} does not let this user {what} ({reason.str()})",
        "`sternpost acls` prints the rights that each role needs",
        name=reason.name(),
        detail=reason.str(),
    )


def clocks_differ(settings: Settings, reason: KafkaError) -> KafkaRequestError:
    """Return the error for brokers that refuse a record because of its date, INVALID_TIMESTAMP.

    By default they refuse what is dated more than an hour ahead of their own clock, since Kafka 4.0
    (https://cwiki.apache.org/confluence/display/KAFKA/KIP-1030%3A+Change+constraints+and+default+values+for+various+configurations).
    """
    return KafkaRequestError(
        f"Kafka at {settings.kafka.bootstrap_servers} refuses records that are dated now ({reason.name()}): this "
        "machine's clock or a broker's is wrong, by more than message.timestamp.after.max.ms of the topic",
        "synchronise the clocks of this machine and of the brokers (NTP); `sternpost doctor` compares them",
        name=reason.name(),
        detail=reason.str(),
    )


def _address(server: str) -> str:
    """Return the address as librdkafka writes it: `ssl://host` → `host:9092`."""
    name = server.strip().rpartition("://")[2]
    return name if re.search(r":\d+$", name) else f"{name}:9092"


def _advice(text: str, protocol: str, state: str) -> tuple[str, bool]:
    """Return what to do about a failure, and whether waiting cannot help."""
    for pattern, advice in _FINAL:
        if re.search(pattern, text):
            return advice, True
    if text.startswith(("Disconnected", "Connection closed")):
        if state == "APIVERSION_QUERY" and not protocol.endswith("ssl"):
            return "the port may want TLS: check security.protocol in kafka.properties", True
        if state in ("APIVERSION_QUERY", "UP") and protocol == "ssl":
            # In TLS 1.3 a broker refuses a client's certificate only after the handshake, and may just hang up.
            return (
                "the broker may want SASL, or refuse our certificate: set security.protocol and sasl.mechanism, or "
                "check ssl.certificate.location and ssl.key.location in kafka.properties"
            ), False
        if state in ("APIVERSION_QUERY", "UP") and not protocol.startswith("sasl"):
            return "the broker may want SASL: set security.protocol and sasl.mechanism in kafka.properties", False
    if "Connection refused" in text:
        return "check that brokers run there, and kafka.bootstrap_servers", False
    return "check kafka.bootstrap_servers and the network in between, and security.protocol in kafka.properties", False


_FINAL = (
    ("mechanisms: *$", "the port takes no SASL: check security.protocol in kafka.properties"),
    ("mechanism handshake failed|Unsupported SASL mechanism", "set sasl.mechanism in kafka.properties to one of them"),
    ("might require SASL", "set security.protocol and sasl.mechanism in kafka.properties, and its credentials"),
    (
        "certificate could not be verified|certificate verify failed",
        "set ssl.ca.location in kafka.properties to the authority that signed the broker's certificate, and name the "
        "broker in kafka.bootstrap_servers as the certificate does",
    ),
    (
        "PLAINTEXT broker listener|wrong version number|packet length too long",
        "the port speaks no TLS: check security.protocol in kafka.properties",
    ),
    (
        "certificate required|bad certificate|unknown ca|handshake failure|alert",
        "the broker refuses our certificate or TLS version: check ssl.certificate.location and ssl.key.location in "
        "kafka.properties",
    ),
    (
        "invalid_token|Access denied",
        "the broker refuses the token: check whom it is made for (with kafka.msk_iam_region the AWS credentials and "
        "their policy, otherwise the properties under sasl.oauthbearer in kafka.properties), and this machine's clock",
    ),
    ("[Aa]uthentication", "check sasl.mechanism, sasl.username and sasl.password in kafka.properties"),
    ("Failed to resolve|Name or service not known", "check the names in kafka.bootstrap_servers"),
    (
        "Invalid response size",
        "what answers there is not a Kafka broker, or wants TLS: check kafka.bootstrap_servers, and security.protocol "
        "in kafka.properties",
    ),
)
"""Patterns in librdkafka's text, and what to do; waiting helps with none of them."""
