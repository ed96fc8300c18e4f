"""Events that can be computed again from a person and a number, so that hours of them need not be kept."""

import json

from tests.support.retention import IN_2020_MS

PEOPLE = 2_000
BROKEN_EVERY = 100


def broken(person: int, number: int) -> bool:
    """Whether the body is no JSON, and becomes a dead letter."""
    return (31 * person + number) % BROKEN_EVERY == 0


def next_whole(person: int, number: int) -> int:
    """Return the first number from this one on whose body is whole."""
    return number + 1 if broken(person, number) else number


def subject(person: int, number: int) -> str:
    """Return a text of 1 to 40 words that differs from event to event."""
    return " ".join(f"{person:x}☃{number:x}" for _ in range(1 + (7 * person + number) % 40))


def body(person: int, number: int) -> bytes:
    """Return the webhook's body: the person's event of that number."""
    name = f"person-{person}"
    whole = json.dumps(
        {
            "event_id": f"{person}-{number}",
            "object_type": "email",
            "metric": "opened",
            "timestamp": IN_2020_MS // 1000 + number,
            "data": {
                "customer_id": name,
                "identifiers": {"id": name, "email": f"{name}@example.com", "cio_id": f"cio-{person}"},
                "delivery_id": f"{person}/{number}",
                "subject": subject(person, number),
            },
        }
    ).encode()
    return whole[:-1] + b"?" if broken(person, number) else whole
