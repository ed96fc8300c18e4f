"""Read the events with Quix Streams, and write them as JSON Lines."""

import json
import os

from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.models.serializers.schema_registry import SchemaRegistryClientConfig
from quixstreams.sinks.community.file.formats import JSONFormat
from quixstreams.sinks.community.file.local import LocalFileSink

app = Application(
    broker_address=os.environ.get("BOOTSTRAP_SERVERS", "kafka:9092"),
    consumer_group="events-to-files",
    auto_offset_reset="earliest",
    consumer_extra_config={"isolation.level": "read_committed"},
)
events = app.topic(
    os.environ.get("EVENTS_TOPIC", "rudderstack.events"),
    value_deserializer=AvroDeserializer(
        schema_registry_client_config=SchemaRegistryClientConfig(
            url=os.environ.get("REGISTRY_URL", "http://registry:8081")
        )
    ),
)


def dumps(value: object) -> str:
    """Return JSON. Times are aware datetimes in UTC, with milliseconds."""
    return json.dumps(value, default=lambda moment: moment.isoformat(timespec="milliseconds"))


stream = app.dataframe(events)
stream.sink(LocalFileSink(directory=os.environ.get("DIRECTORY", "events"), format=JSONFormat(dumps=dumps)))

if __name__ == "__main__":
    app.run()
