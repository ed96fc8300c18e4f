"""The mapping in Quix Streams: raw topic in, events as JSON out."""

import os

from quixstreams import Application

from sternpost import DeadLetter, Mapper

app = Application(
    broker_address=os.environ.get("BOOTSTRAP_SERVERS", "kafka:9092"),
    consumer_group="events-as-json-with-quix",
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
)
raw = app.topic(os.environ.get("RAW_TOPIC", "customerio.raw"), value_deserializer="bytes")
events = app.topic(os.environ.get("JSON_TOPIC", "events.json"), value_serializer="json")
mapper = Mapper("corrected")


def mapped(body: bytes, key: bytes, timestamp_ms: int, headers: list[tuple[str, bytes]] | None) -> dict | None:
    """Return the event; None for what is none."""
    outcome = mapper.map(body, received_at_ms=timestamp_ms, headers=headers or ())
    return None if isinstance(outcome, DeadLetter) else outcome.as_json()


stream = app.dataframe(raw).apply(mapped, metadata=True).filter(lambda event: event is not None)
stream.to_topic(events)

if __name__ == "__main__":
    app.run()
