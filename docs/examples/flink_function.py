"""The mapping as a Python function of Flink SQL: a body in, the event as JSON text out, NULL for what is none."""

import json

from sternpost import DeadLetter, Mapper

_mapper = Mapper("corrected")


def track_event(body: bytes, received_at_ms: int, source: str) -> str | None:
    """Return the event as JSON text."""
    outcome = _mapper.map(body, received_at_ms=received_at_ms, source=source)
    return None if isinstance(outcome, DeadLetter) else json.dumps(outcome.as_json())


def register(environment: "object") -> None:
    """Make the function known to a pyflink.table.TableEnvironment, as `track_event`."""
    from pyflink.table import DataTypes  # noqa: PLC0415 (the job's own)
    from pyflink.table.udf import udf  # noqa: PLC0415

    environment.create_temporary_system_function(  # type: ignore[attr-defined]
        "track_event", udf(track_event, result_type=DataTypes.STRING())
    )
