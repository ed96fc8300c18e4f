"""Hypothesis strategies: payloads that Customer.io could send, and invalid ones."""

import json
from typing import Any

from hypothesis import strategies as st

from schemas.mapping import tables
from tests.support.nested_paths import put
from tests.support.rudderstack_reference import METRICS, OBJECT_TYPES

LONGS = st.integers(-(2**63), 2**63 - 1)
ODD_TEXT = st.sampled_from(["", " ", "\x00", "42", "042", "true", "constructor", "+15551234567", "a@b", "#c", "\ufeff"])
TEXT = st.text() | ODD_TEXT

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value."""

FITTING: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT | st.integers(),
    "identity": TEXT | st.integers(),
    "whole": LONGS | LONGS.map(str) | st.integers(-(2**53), 2**53).map(float),
    "boolean": st.booleans() | st.sampled_from(["true", "false"]),
    "headers": st.dictionaries(TEXT, st.lists(TEXT, max_size=3) | st.none() | TEXT, max_size=3),
    "devices": st.lists(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("device_id", "device_platform", "failure_message"), st.none() | TEXT)
        ),
        max_size=3,
    ),
    "time": st.none() | st.integers(0, 253_402_300_799) | st.floats(0, 253_402_300_799) | TEXT,
}
"""Values that fit a field type of fields.csv."""

SOURCES: dict[str, str] = {
    source: row.type
    for row in tables.fields()
    for source in row.sources
    if row.type in FITTING
    and (source.startswith("data.") or source in ("timestamp", "event_id", "metric", "event_type"))
    if "[" not in source
} | {"object_type": "text", "object_type_type": "text"}
"""Every path in a body that the mapping reads → its type."""


@st.composite
def webhooks(draw: st.DrawFn, odd: bool = False) -> dict[str, Any]:
    """Draw a payload with some known fields and values that fit; with `odd`, some values are arbitrary JSON."""
    object_type, metric = draw(st.sampled_from(OBJECT_TYPES) | TEXT), draw(st.sampled_from(METRICS) | TEXT)
    kind = {"object_type": object_type, "metric": metric}
    legacy = {"event_type": f"{object_type}_{metric}"}
    payload: dict[str, Any] = {
        **draw(st.sampled_from([kind, kind, legacy])),
        "data": {"identifiers": {"cio_id": "d9c1"}},
    }
    for source in draw(st.lists(st.sampled_from(sorted(SOURCES)), unique=True)):
        fitting = st.none() | FITTING[SOURCES[source]]
        put(payload, source, draw(fitting | JSON if odd else fitting))
    return payload


def bodies() -> st.SearchStrategy[bytes]:
    """Draw JSON text of payloads and other values, valid and damaged, or arbitrary bytes."""

    def text(value: Any) -> st.SearchStrategy[bytes]:
        return st.sampled_from([json.dumps(value), json.dumps(value, ensure_ascii=False)]).map(
            lambda written: written.encode("utf-8", "surrogatepass")
        )

    whole = (webhooks() | webhooks(odd=True) | JSON).flatmap(text)
    damaged = st.tuples(whole, st.integers(0, 400), st.binary(max_size=4)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
    )
    return whole | damaged | st.binary()
