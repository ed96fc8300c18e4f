"""The chart's own copy of the alerts: Helm packages no file from outside of the chart."""

from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1]


def files() -> dict[str, str]:
    """Paths below deploy/ and their texts."""
    return {"helm/sternpost/files/alerts.yaml": (DEPLOY / "prometheus/alerts.yaml").read_text("utf-8")}
