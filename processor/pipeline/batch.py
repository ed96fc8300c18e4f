"""Processes a batch: raw records in, one outcome for each out, in order. No Kafka, no clock, no files.

    RawRecord ──identify──▶ seen before? ──▶ Duplicate
                               │ no
                            Pipeline ──▶ Event or DeadLetter

Failures of the cluster do not appear here.
"""

from collections.abc import Sequence
from typing import Protocol

from processor.pipeline.dedup_key import identify
from processor.pipeline.pipeline import Pipeline
from processor.pipeline.records import Duplicate, Outcome, RawRecord


class DuplicateIndex(Protocol):
    """Remembers records by their keys."""

    def find_duplicates(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        """Return the offset of each record's first occurrence, or None for a new record; remember all of them."""
        ...


class BatchProcessor:
    """Separates duplicates, and turns the other records into events."""

    def __init__(self, duplicates: DuplicateIndex, pipeline: Pipeline) -> None:
        """Find duplicates with `duplicates`, and map with `pipeline`."""
        self._duplicates = duplicates
        self._outcome = pipeline.outcome

    def __call__(self, records: Sequence[RawRecord]) -> list[Outcome]:
        """Return one outcome for each record. Raises what the duplicate index raises, and nothing else."""
        identities = [identify(record) for record in records]
        offsets = self._duplicates.find_duplicates(records, [identified.key for identified in identities])
        outcome = self._outcome
        return [
            outcome(record, identified) if offset is None else Duplicate(offset)
            for record, identified, offset in zip(records, identities, offsets, strict=True)
        ]
