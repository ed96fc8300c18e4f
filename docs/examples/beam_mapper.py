"""The mapping in Apache Beam: a file with a webhook on each line in, events as JSON out, dead letters apart."""

import json
import os
import time
from collections.abc import Iterator

import apache_beam as beam

from sternpost import DeadLetter, Mapper

DEAD = "dead letters"


class MapWebhooks(beam.DoFn):
    """Maps bodies. A mapper can be pickled, so it is made once, where the pipeline is built."""

    def __init__(self, mapper: Mapper) -> None:
        """Use a mapper."""
        self._mapper = mapper

    def process(self, body: bytes) -> Iterator[object]:
        """Yield the event, or its dead letter to the output of those."""
        outcome = self._mapper.map(body, received_at_ms=int(time.time() * 1000))
        if isinstance(outcome, DeadLetter):
            yield beam.pvalue.TaggedOutput(DEAD, f"{outcome.code}: {outcome.message}")
        else:
            yield json.dumps(outcome.as_json())


with beam.Pipeline(runner="DirectRunner") as pipeline:
    lines = pipeline | beam.io.ReadFromText(
        os.environ.get("WEBHOOKS", "webhooks.jsonl"), coder=beam.coders.BytesCoder()
    )
    outcomes = lines | beam.ParDo(MapWebhooks(Mapper("corrected"))).with_outputs(DEAD, main="events")
    outcomes.events | "write events" >> beam.io.WriteToText(os.environ.get("OUTPUT", "events"), ".jsonl")
    outcomes[DEAD] | "write dead letters" >> beam.io.WriteToText(os.environ.get("DEAD_LETTERS", "dead"), ".txt")
