"""The brokers' clocks held against ours, by records that the brokers date."""

import contextlib
import time
import uuid
from collections.abc import Iterator

from runtime.kafka.admin import ADMIN_TIMEOUT_S, KafkaAdmin
from runtime.kafka.clients import make_producer
from runtime.settings.model import Settings
from sternpost.operations.acls import DOCTOR_TOPICS
from sternpost.operations.doctor.check import Check, fault, ok, skipped, warning

WARN_MS, FAULT_MS = 5_000, 300_000
"""Deduplication and retention go by time, and brokers refuse records dated an hour ahead of them."""


def check(settings: Settings, brokers: list[int]) -> Iterator[Check]:
    """A topic that lives for a moment, with a partition on each broker; transactions are tried on it as well."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    topic = f"{DOCTOR_TOPICS}{uuid.uuid4().hex[:12]}"
    admin = KafkaAdmin(settings)
    new = NewTopic(
        topic,
        len(brokers),
        replica_assignment=[[broker] for broker in brokers],
        config={"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1"},
    )
    try:
        limits = {"operation_timeout": ADMIN_TIMEOUT_S, "request_timeout": ADMIN_TIMEOUT_S}
        admin.ask(lambda client: client.create_topics([new], **limits))[topic].result()
    except KafkaException as error:
        if error.args[0].code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
            yield fault(
                "controller",
                f"it does not answer ({error.args[0].str()}): no leader is elected and no topic made",
                "start the controllers: most of them must be there",
            )
            return
        denied = error.args[0].name().endswith("AUTHORIZATION_FAILED")
        yield skipped(
            "clocks",
            f"a topic of a moment could not be made to ask the brokers the time ({error.args[0].str()})",
            "`sternpost acls --role provisioning` prints the right that it takes" if denied else "",
        )
        return
    try:
        yield from _clocks(settings, topic, brokers)
    finally:
        with contextlib.suppress(KafkaException):
            admin.ask(lambda client: client.delete_topics([topic], **limits))[topic].result()


def _clocks(settings: Settings, topic: str, brokers: list[int]) -> Iterator[Check]:
    from confluent_kafka import KafkaError, Message

    dated: dict[int, int] = {}
    refused: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error.str())
        else:
            dated[brokers[message.partition() or 0]] = message.timestamp()[1] - sent_ms[message.partition() or 0]

    producer = make_producer(settings, {"message.timeout.ms": ADMIN_TIMEOUT_S * 1000})
    sent_ms: dict[int, int] = {}
    took_ms = 0
    for partition in range(len(brokers)):
        for _ in range(2):  # the first connects
            sent_ms[partition] = time.time_ns() // 1_000_000
            producer.produce(topic, b"what time is it?", partition=partition, on_delivery=delivered)
            producer.flush(ADMIN_TIMEOUT_S)
        took_ms = max(took_ms, time.time_ns() // 1_000_000 - sent_ms[partition])
    if refused:
        yield skipped("clocks", f"the brokers did not take a record: {refused[0]}", "`sternpost acls`")
        return
    ahead = {broker: max(0, by - took_ms) if by > 0 else by for broker, by in dated.items()}
    worst, by = max(ahead.items(), key=lambda item: abs(item[1]))
    detail = f"broker {worst} is {abs(by) / 1000:.1f} s {'ahead of' if by > 0 else 'behind'} this machine"
    mend = "synchronise the clocks of this machine and the brokers (NTP)"
    if abs(by) >= FAULT_MS:
        yield fault("clocks", detail, mend)
    elif abs(by) >= WARN_MS:
        yield warning("clocks", detail, mend)
    else:
        yield ok("clocks", f"the brokers and this machine agree, within {max(took_ms, abs(by))} ms")
