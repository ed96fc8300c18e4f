"""Metrics as they are declared, and counters without room."""

from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram

from runtime import metrics
from runtime.errors import DependencyError
from tests.support.disks import small_disk


def test_a_worker_without_room_for_its_counters_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "memory", "64k") as memory:
        monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(memory))
        with pytest.raises(DependencyError, match=f"{memory} cannot be used .*No space left on device.*TMPDIR"):
            metrics.open_counters()


def test_every_declared_metric_has_a_meaning_a_prefix_and_a_unit() -> None:
    for metric in metrics.DECLARED.values():
        assert metric.meaning.endswith("."), metric.name
        assert metric.name.startswith("sternpost_"), metric.name
        if metric.kind is Counter:
            assert metric.name.endswith("_total"), metric.name
        if metric.kind is Histogram:
            assert metric.name.endswith(("_seconds", "_bytes", "_records")), metric.name
            assert list(metric.bounds) == sorted(metric.bounds)


def test_a_metric_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        metrics.gauge("sternpost_ingest_in_flight", "Again.")


def test_labels_must_be_those_declared() -> None:
    with pytest.raises(ValueError, match="labels"):
        metrics.INGEST_REQUESTS.labels("only one")
