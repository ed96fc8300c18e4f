"""docs/metrics.md: the reference of all metrics."""

from runtime.metrics import DECLARED

INTRODUCTION = """# Metrics

Each service has an admin listener (`ingest.admin_port`, `processor.admin_port`) that serves its metrics at `/metrics`
in Prometheus' text format, summed over its worker processes. Units are seconds and bytes. This page is generated from
[runtime/metrics.py](../runtime/metrics.py), which declares them.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    rows = []
    for metric in DECLARED.values():
        kind = metric.kind.__name__.lower()
        labels = ", ".join(f"`{name}`" for name in metric.label_names) or "–"
        bounds = f" Buckets up to {', '.join(f'{bound:,}' for bound in metric.bounds)}." if metric.bounds else ""
        rows.append(f"| `{metric.name}` | {kind} | {labels} | {metric.meaning}{bounds} |\n")
    return INTRODUCTION + "".join(rows)
