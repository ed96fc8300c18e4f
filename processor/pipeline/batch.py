"""The core: a batch of raw records in, one outcome for each out, in order. No Kafka, no clock, no files.

    RawRecord ──identify──▶ known already? ──▶ Duplicate
                               │ no
                            Pipeline ──▶ Event or DeadLetter

What the cluster causes does not show here at all.
"""

from collections.abc import Sequence
from typing import Protocol

from processor.pipeline.dedup_key import identify
from processor.pipeline.pipeline import Pipeline
from processor.pipeline.records import Duplicate, Outcome, RawRecord


class DuplicateIndex(Protocol):
    """Remembers records by their keys."""

    def find_duplicates(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        """For each record, the offset at which its key was met before; None where it is new. Remembers all of them."""
        ...


class BatchProcessor:
    """Tells duplicates apart, and makes events of the rest."""

    def __init__(self, seen: DuplicateIndex, pipeline: Pipeline) -> None:
        self._seen = seen
        self._outcome = pipeline.outcome

    def __call__(self, records: Sequence[RawRecord]) -> list[Outcome]:
        """One outcome for each record. Raises what `seen` raises, and nothing else."""
        identities = [identify(record) for record in records]
        offsets = self._seen.find_duplicates(records, [identified.key for identified in identities])
        outcome = self._outcome
        return [
            outcome(record, identified) if offset is None else Duplicate(offset)
            for record, identified, offset in zip(records, identities, offsets, strict=True)
        ]
