"""librdkafka's properties as users may set them: which there are, for which clients, and which values each takes.

What Sternpost itself sets for its clients is in `runtime.kafka.config`, and where each client is made.

`properties.csv` is written from librdkafka itself by `tests/support/librdkafka_properties.py`; a test compares the two.
Reference: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

import csv
import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

TRUE, FALSE = ("true", "t", "1"), ("false", "f", "0")

SASL_MECHANISMS = ("GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

REFUSED: Mapping[str, tuple[str | None, str]] = {
    "metadata.broker.list": (None, "set kafka.bootstrap_servers instead"),
    "request.required.acks": ("-1", "with fewer acknowledgements, an event that was answered 200 could be lost"),
    "enable.idempotence": ("true", "without it, a retry could write an event twice or out of order"),
    "isolation.level": ("read_committed", "anything else would read events of transactions that were aborted"),
    "enable.auto.commit": ("false", "offsets are committed with the events, in one transaction"),
    "enable.auto.offset.store": ("false", "offsets are committed with the events, in one transaction"),
    "auto.offset.reset": (None, "skipping records that were not processed would lose events"),
    "transactional.id": (None, "it is made from processor.group_id and processor.instance_id"),
    "transaction.timeout.ms": (None, "set processor.transaction_timeout_ms instead"),
    "message.timeout.ms": (None, "set ingest.produce_deadline_ms or processor.transaction_timeout_ms instead"),
    "message.max.bytes": (None, "it follows from ingest.max_body_bytes"),
    "fetch.max.bytes": (None, "it follows from ingest.max_body_bytes"),
    "receive.message.max.bytes": (None, "it follows from ingest.max_body_bytes"),
    "group.id": (None, "set processor.group_id instead"),
    "group.instance.id": (None, "set processor.instance_id instead"),
    "session.timeout.ms": (None, "set processor.session_timeout_ms instead"),
    "max.poll.interval.ms": (None, "set processor.max_poll_interval_ms instead"),
    "partition.assignment.strategy": ("cooperative-sticky", "a partition is handed over with its state"),
    "group.protocol": (None, "set processor.group_protocol instead"),
    "enable.partition.eof": (None, "Sternpost sets it where it reads a topic to its end"),
    "delivery.report.only.error": (None, "delivery reports are what an answer to a webhook waits for"),
    "log.queue": ("true", "log lines reach Sternpost's own log by it"),
}
"""By canonical name: properties that correctness stands on, the one value that is accepted, and why."""

LEFT_TO_BROKERS: Mapping[str, str] = {
    "session.timeout.ms": "set consumer.session.timeout.ms of the group, or group.consumer.session.timeout.ms on the "
    "brokers",
    "heartbeat.interval.ms": "set consumer.heartbeat.interval.ms of the group, or "
    "group.consumer.heartbeat.interval.ms on the brokers",
    "partition.assignment.strategy": "set group.remote.assignor to one of the brokers' assignors",
    "group.protocol.type": "take it out",
}
"""Properties that librdkafka refuses with the group protocol `consumer`, and what to do instead.

https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#next-generation-consumer-group-protocol-kip-848
"""

JAVA_NAMES = {
    "sasl.jaas.config": "set sasl.username and sasl.password",
    "ssl.truststore.location": "set ssl.ca.location, a file or folder in PEM",
    "ssl.truststore.certificates": "set ssl.ca.pem",
    "ssl.truststore.password": "a PEM file for ssl.ca.location needs none",
    "ssl.truststore.type": "ssl.ca.location is always PEM",
    "ssl.keystore.type": "ssl.keystore.location is always PKCS#12",
    "key.serializer": "take it out",
    "value.serializer": "take it out",
    "key.deserializer": "take it out",
    "value.deserializer": "take it out",
    "max.block.ms": "set ingest.produce_deadline_ms instead",
    "buffer.memory": "set queue.buffering.max.kbytes",
    "sasl.login.callback.handler.class": "set sasl.oauthbearer.method",
    "sasl.client.callback.handler.class": "set sasl.oauthbearer.method",
}
"""Properties of Kafka's Java clients that librdkafka has under another name, or not at all."""


class Property(NamedTuple):
    """A row of `properties.csv`."""

    name: str
    client: str
    """`any`, `producer` or `consumer`."""
    alias_of: str
    """The canonical name; empty if this is it."""
    type: str
    values: str
    """A range (`0 .. 1000`) or a list (`true, false`); empty if librdkafka names none."""


@cache
def table() -> Mapping[str, Property]:
    """Return every property by its name."""
    with Path(__file__).with_name("properties.csv").open(encoding="utf-8", newline="") as file:
        next(rows := csv.reader(file))
        return {row[0]: Property(*row) for row in rows}


def canonical(name: str) -> str:
    """Return the name that an alias of librdkafka's stands for: `linger.ms` → `queue.buffering.max.ms`."""
    known = table().get(name)
    return known.alias_of or name if known else name


def is_for(name: str, client: str) -> bool:
    """Return whether the property applies to a `producer`, `consumer` or `admin` client."""
    known = table().get(name)
    return known is None or known.client in ("any", client)


def overlay(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return the layers merged, the last being the strongest; aliases count as one property."""
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        merged |= {canonical(name): (name, value) for name, value in layer.items()}
    return dict(merged.values())


def faults(properties: Mapping[str, str], *, brokers_assign: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with them: a property's name, and a sentence that does not quote a secret's value.

    `brokers_assign` says that the processor's group protocol is `consumer`.
    """
    named: dict[str, str] = {}
    for name, value in properties.items():
        twin = named.setdefault(canonical(name), name)
        if brokers_assign and name in LEFT_TO_BROKERS:
            hint = LEFT_TO_BROKERS[name]
            yield name, f"cannot be set with processor.group_protocol consumer, which leaves it to the brokers; {hint}."
        elif twin != name:
            yield name, f"is another name of {twin}, which is set as well; keep one of the two."
        elif (fault := _fault(name, value)) is not None:
            yield name, fault


def _fault(name: str, value: str) -> str | None:
    known = table().get(name)
    if known is None:
        close = difflib.get_close_matches(name.lower(), table(), 1, 0.75)
        hint = JAVA_NAMES.get(name) or (f"did you mean {close[0]}?" if close else "take it out.")
        return f"is not a property of librdkafka; {hint}"
    if known.type == "see dedicated API":
        return "cannot be set by text; take it out."
    if (fixed := REFUSED.get(canonical(name))) is not None:
        only, why = fixed
        if only is None or _normal(name, value) != only:
            stands = f"Sternpost sets it to {only} itself" if only else "Sternpost sets it itself"
            return f"cannot be changed: {stands} ({why}); take it out."
        return None
    return _value_fault(known, value)


def _normal(name: str, value: str) -> str:
    """Return a value in librdkafka's canonical form."""
    value = value.strip().lower()
    if table()[name].type == "boolean":
        return "true" if value in TRUE else "false" if value in FALSE else value
    return "-1" if value == "all" and canonical(name) == "request.required.acks" else value


def _value_fault(known: Property, value: str) -> str | None:
    choices = [choice.strip() for choice in known.values.split(",") if choice.strip()]
    if "\0" in value or not _is_text(value):
        return "holds a character that cannot be passed on; check how it was written."
    if known.type in ("integer", "float"):
        low, _, high = known.values.partition(" .. ")
        try:
            number = int(value) if known.type == "integer" else float(value)
        except ValueError:
            return f"must be a number{f' from {low} to {high}' if high else ''}."
        if high and not int(low) <= number <= int(high):
            return f"must be from {low} to {high}, and is {value}."
    elif known.type == "boolean":
        if value.lower() not in (*TRUE, *FALSE):
            return "must be true or false."
    elif known.type == "enum value" and choices:
        if value.lower() not in (choice.lower() for choice in choices):
            return f"must be one of {', '.join(choices)}.{_close(value, choices)}"
    elif known.type == "CSV flags" and choices and known.name != "builtin.features":
        flags = [part.strip().lstrip("+-") for part in value.split(",")]
        unknown = [flag for flag in flags if flag and flag not in choices]
        if unknown:
            return f"must be made of {', '.join(choices)}, separated by commas.{_close(unknown[0], choices)}"
    elif canonical(known.name) == "sasl.mechanisms" and value not in SASL_MECHANISMS:
        return f"must be one of {', '.join(SASL_MECHANISMS)}.{_close(value, list(SASL_MECHANISMS))}"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _close(value: str, choices: list[str]) -> str:
    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(value.lower(), folded, 1)
    return f" Did you mean {folded[close[0]]}?" if close else ""
