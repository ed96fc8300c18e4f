"""Check the webhook endpoint: whom it accepts and refuses, and whether an event comes through."""

import secrets
import ssl
import time
from collections.abc import Iterator

import httpx2
import orjson

from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings, SourceSettings
from sternpost.operations import signed_webhook
from sternpost.operations.changes_allowed import ChangesAllowed, require
from sternpost.operations.doctor.check import Check, fault, ok, skipped

ARRIVAL_S = 20.0
"""How long an event may take to a topic."""
PERSON = "sternpost-doctor"
"""The person of the test event."""


def check(settings: Settings, allowed: ChangesAllowed | None, url: str, *, send: bool) -> Iterator[Check]:
    """Check the endpoint at `url`; with `send`, send a signed event for each key, which reaches sinks too.

    Raises ChangesNotAllowedError if it is to send and may not.
    """
    if send:
        require(allowed, "send events")
    try:
        status = _post(url, secrets.token_hex(8), None, b"{}")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        remedy = (
            "give --url with the name in its certificate"
            if _is_certificate_error(error)
            else "start `sternpost ingest`, or give --url"
        )
        yield fault("endpoint", f"{url} does not answer ({_reason(error)})", remedy)
        return
    if status == 503:
        yield fault("endpoint", "it answers 503: it is draining, or does not reach Kafka", "see its log and /readyz")
        return
    if status != 401:
        yield fault("endpoint", f"it answers {status} to an unknown write key, not 401", "is --url the endpoint?")
        return
    yield ok("endpoint", f"{url} answers, and refuses an unknown write key")
    if not settings.sources:
        yield skipped("sources", "none is configured here", "set sources, as ingest has them")
    for source in settings.sources:
        try:
            yield from _source(settings, allowed, url, source, send=send)
        except httpx2.HTTPError as error:
            yield fault(f"source {source.name}", f"{url} stopped answering ({_reason(error)})", "see ingest's log")


def _source(
    settings: Settings, allowed: ChangesAllowed | None, url: str, source: SourceSettings, *, send: bool
) -> Iterator[Check]:
    name = f"source {source.name}"
    if allowed is None:  # an endpoint that does not check the signature would write the body of the question
        yield skipped(name, "whether its signature is checked was not tried: changes are not allowed here")
        return
    key = source.write_keys[0].get_secret_value()
    if source.signing_keys:
        status = _post(url, key, secrets.token_hex(32), b"{}")
        if status != 401:
            yield fault(
                name,
                f"a wrong signature is answered with {status}, not 401",
                "ingest does not know this source's signing keys: give it the same settings, and SIGHUP it",
            )
            return
    if not send:
        guarded = "its signature is checked" if source.signing_keys else "it needs no signature"
        yield skipped(name, f"{guarded}; whether an event comes through was not checked", "--send checks it")
        return
    yield from _round_trip(settings, allowed, url, source)


def _round_trip(
    settings: Settings, allowed: ChangesAllowed | None, url: str, source: SourceSettings
) -> Iterator[Check]:
    require(allowed, "send events")
    name = f"source {source.name}"
    event_id = f"doctor-{secrets.token_hex(8)}"
    event = {"object_type": "customer", "metric": "subscribed", "data": {"customer_id": PERSON}}
    body = orjson.dumps({"event_id": event_id, "timestamp": int(time.time()), **event})
    before = {
        topic: range_consumer.readable_ranges(settings, topic)
        for topic in (settings.topics.raw, settings.topics.events)
    }
    signing_keys: list[str | None] = [key.get_secret_value() for key in source.signing_keys] or [None]
    for key in source.write_keys:
        for signing_key in signing_keys:
            status = _post(url, key.get_secret_value(), signing_key, body)
            if status != 200:
                yield fault(
                    name,
                    f"a signed event is answered with {status}",
                    {
                        401: "ingest has other write or signing keys for it: give it the same settings, and SIGHUP it",
                        503: "Kafka does not acknowledge: see ingest's log",
                    }.get(status, "see ingest's log"),
                )
                return
    for topic, service in ((settings.topics.raw, "ingest"), (settings.topics.events, "process")):
        if not _arrives(settings, topic, before[topic], event_id):
            yield fault(
                name,
                f"an event was acknowledged, but did not reach {topic} within {ARRIVAL_S:.0f} s",
                f"is `sternpost {service}` on this cluster, with these topics? `sternpost status` shows its lag",
            )
            return
    keys = len(source.write_keys) * len(signing_keys)
    yield ok(name, f"an event sent with each of {keys} pairs of keys came through once (its id is {event_id})")


def _arrives(settings: Settings, topic: str, before: list[OffsetRange], event_id: str) -> bool:
    wanted = event_id.encode()
    ranges, deadline = before, time.monotonic() + ARRIVAL_S
    while time.monotonic() < deadline:
        ends = {there.partition: there.end for there in range_consumer.readable_ranges(settings, topic)}
        ranges = [OffsetRange(there.partition, there.end, ends.get(there.partition, there.end)) for there in ranges]
        for messages in range_consumer.read_ranges(settings, topic, ranges):
            if any(wanted in (message.value() or b"") for message in messages):  # in the body, and in Avro's text
                return True
        time.sleep(0.1)
    return False


def _post(url: str, write_key: str, signing_key: str | None, body: bytes) -> int:
    """Post a body, signed if there is a signing key, and return the status. Raises HTTPError and InvalidURL."""
    target = httpx2.URL(url).copy_with(query=signed_webhook.query(write_key).encode())
    # No proxy from the environment: a proxy's answer says nothing about the endpoint.
    response = httpx2.post(
        target,
        content=body,
        headers=signed_webhook.headers(signing_key, body),
        timeout=signed_webhook.TIMEOUT_S,
        verify=ssl.create_default_context(),
        trust_env=False,
    )
    return response.status_code


def _is_certificate_error(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
