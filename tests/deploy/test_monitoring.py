"""Panels and alerts in a Prometheus that scrapes a pipeline which runs, and which is then broken."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.metrics import DECLARED
from tests.deploy.monitored import (
    EVERY_METRIC,
    RULES,
    SCALE,
    STERNPOST,
    Pipeline,
    Prometheus,
    alertmanager,
    answers,
    get,
    hurried,
    pipeline,
    process,
    prometheus,
)
from tests.deploy.tools import CHART, ROOT
from tests.support.ports import free_ports
from tests.support.waiting import until

PANELS: list[tuple[str, str]] = [
    (f"{file.stem}: {panel['title']}", target["expr"])
    for file in sorted((CHART / "files/dashboards").glob("*.json"))
    for panel in json.loads(file.read_text("utf-8"))["panels"]
    for target in panel.get("targets", [])
]
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline(tmp_path_factory.mktemp("pipeline")) as found:
        found.sternpost("send")
        found.sternpost("send", "--run", "again")
        yield found


@pytest.fixture(scope="module")
def watching(running: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It scrapes both services, and what serves every metric, as instance of both jobs."""
    folder = tmp_path_factory.mktemp("watching")
    (port,) = free_ports(1)
    with process([sys.executable, EVERY_METRIC, port], folder / "every.log", {"PYTHONPATH": str(ROOT)}):
        until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), PATIENCE_S)
        targets = {
            "sternpost-ingest": [running.ingest_admin, port],
            "sternpost-processor": [running.processor_admin, port],
        }
        with prometheus(folder / "prometheus", targets) as found:
            running.sternpost("send", "--run", "scraped")
            until(lambda: len(found.query("up == 1")) == 4, PATIENCE_S)
            yield found


def filled_in(expression: str, instance: str) -> str:
    """A panel's query as Grafana sends it."""
    for name, value in {"$__rate_interval": "1m", "$namespace": ".*", "$instance": instance}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize(("panel", "expression"), PANELS, ids=[f"{name} {i}" for i, (name, _) in enumerate(PANELS)])
def test_every_query_of_a_panel_gives_data(
    running: Pipeline, watching: Prometheus, panel: str, expression: str
) -> None:
    del panel
    exposed = ""
    for port in (running.ingest_admin, running.processor_admin):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            exposed += answer.read().decode()
    asked = {
        name
        for found in re.findall(r"sternpost_[a-z_]+", expression)
        for name in (found, re.sub(r"_(bucket|sum|count)$", "", found))
        if name in DECLARED
    }
    # What a pipeline that is well never counts comes from the process that serves every metric.
    ours = all(re.search(rf"^{name}(_count)?[ {{]", exposed, re.MULTILINE) for name in asked)
    real = f"127.0.0.1:({running.ingest_admin}|{running.processor_admin})"
    until(lambda: watching.query(filled_in(expression, real if ours else ".*")), PATIENCE_S)


def test_most_panels_show_what_the_pipeline_itself_counts(running: Pipeline, watching: Prometheus) -> None:
    real = f"127.0.0.1:({running.ingest_admin}|{running.processor_admin})"

    def shown() -> set[str]:
        return {name for name, expression in PANELS if watching.query(filled_in(expression, real))}

    until(lambda: len(shown()) > len({name for name, _ in PANELS}) / 2, PATIENCE_S)


def test_prometheus_takes_the_query_of_every_alert(watching: Prometheus) -> None:
    rules: list[dict[str, Any]] = [
        rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
    ]
    for rule in rules:
        watching.query(rule["expr"])


def test_a_broker_that_dies_raises_the_alert_for_it_and_no_other(running: Pipeline, tmp_path: Path) -> None:
    targets = {"sternpost-ingest": [running.ingest_admin], "sternpost-processor": [running.processor_admin]}
    with (
        alertmanager(tmp_path / "alertmanager") as manager,
        prometheus(tmp_path / "prometheus", targets, hurried(tmp_path), manager) as watching,
    ):
        until(lambda: len(watching.query("up == 1")) == 2, PATIENCE_S)
        with subprocess.Popen(
            [STERNPOST, "--config", running.settings, "send", "--count=6000", "--rate=40", "--feeds=4", "--run=chaos"],
            stdout=subprocess.PIPE,
            text=True,
        ) as sender:
            try:
                # Longer than any alert that is to fire within a minute of real time would take.
                until(lambda: watching.query(f"sum(increase({ACCEPTED}[{150 // SCALE}s])) > 100"), PATIENCE_S)
                assert watching.alerts() == set(), "all is well"
                running.stack.brokers[0].kill()
                # The first ones: with time, others follow.
                assert until(watching.alerts, PATIENCE_S) == {"SternpostErrorBudgetBurnsFast"}
                assert until(lambda: active(manager), PATIENCE_S) == {"SternpostErrorBudgetBurnsFast"}
            finally:
                sender.kill()


ACCEPTED = 'sternpost_ingest_requests_total{outcome="ok"}'


def active(manager: int) -> set[str]:
    """Names of the alerts that Alertmanager has."""
    return {alert["labels"]["alertname"] for alert in get(f"http://127.0.0.1:{manager}/api/v2/alerts")}
