"""Compare the brokers' clocks with this machine's, by records that the brokers date."""

import contextlib
import time
import uuid
from collections.abc import Iterator

from runtime.errors import KafkaRequestError
from runtime.kafka.admin import KafkaAdmin, NewTopic
from runtime.kafka.synchronous_producer import SynchronousProducer
from runtime.settings.model import Settings
from sternpost.operations.acls import DOCTOR_TOPICS
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor.check import Check, fault, ok, skipped, warning

WARN_MS, FAULT_MS = 5_000, 300_000
"""Deduplication and retention depend on time, and brokers refuse records dated an hour ahead of them."""


def check(settings: Settings, allowed: ChangesAllowed | None, brokers: list[int]) -> Iterator[Check]:
    """Read the clocks by a temporary topic with a partition on each broker, if changes are allowed."""
    if allowed is None:
        yield skipped("clocks", "reading them takes a temporary topic, and changes are not allowed here")
        return
    topic = f"{DOCTOR_TOPICS}{uuid.uuid4().hex[:12]}"
    admin = KafkaAdmin(settings)
    new = NewTopic(
        topic,
        len(brokers),
        replica_assignment=[[broker] for broker in brokers],
        config={"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1"},
    )
    refused = admin.create_topics([new])
    if error := refused.get(topic):
        if error.name in ("_TIMED_OUT", "REQUEST_TIMED_OUT"):
            yield fault(
                "controller",
                f"it does not answer ({error.detail}): no leader is elected and no topic created",
                "start the controllers: most of them must be there",
            )
            return
        denied = error.name.endswith("AUTHORIZATION_FAILED")
        yield skipped(
            "clocks",
            f"could not create the temporary topic that the brokers' clocks are read by ({error.detail})",
            "`sternpost acls --role provisioning` prints the right that it takes" if denied else "",
        )
        return
    try:
        yield from _clocks(settings, topic, brokers)
    finally:
        with contextlib.suppress(KafkaRequestError):
            admin.delete_topics([topic])


def _clocks(settings: Settings, topic: str, brokers: list[int]) -> Iterator[Check]:
    producer = SynchronousProducer(settings)
    dated: dict[int, int] = {}
    took_ms = 0
    for partition, broker in enumerate(brokers):
        for _ in range(2):  # the first connects
            sent_ms = time.time_ns() // 1_000_000
            try:
                dated[broker] = producer.send(topic, b"what time is it?", partition) - sent_ms
            except KafkaRequestError as error:
                yield skipped("clocks", f"the brokers did not take a record: {error.detail}", "`sternpost acls`")
                return
        took_ms = max(took_ms, time.time_ns() // 1_000_000 - sent_ms)
    ahead = {broker: max(0, by - took_ms) if by > 0 else by for broker, by in dated.items()}
    worst, by = max(ahead.items(), key=lambda item: abs(item[1]))
    detail = f"broker {worst} is {abs(by) / 1000:.1f} s {'ahead of' if by > 0 else 'behind'} this machine"
    remedy = "synchronise the clocks of this machine and the brokers (NTP)"
    if abs(by) >= FAULT_MS:
        yield fault("clocks", detail, remedy)
    elif abs(by) >= WARN_MS:
        yield warning("clocks", detail, remedy)
    else:
        yield ok("clocks", f"the brokers and this machine agree, within {max(took_ms, abs(by))} ms")
