"""The alerts: their cases, and their places in the runbook."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.metrics import DECLARED

ROOT = Path(__file__).parents[3]
# The parser in C: the one in Python takes as long as all of these tests.
load = functools.partial(yaml.load, Loader=yaml.CSafeLoader)
ALERTS: list[dict[str, Any]] = [
    rule
    for group in load((ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
CASES: list[dict[str, Any]] = [
    case
    for file in sorted((ROOT / "deploy/prometheus").glob("alerts*_test.yaml"))
    for case in load(file.read_text("utf-8"))["tests"]
]
BOTH = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_enough_and_each_has_its_own_name() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(names) >= 15
    assert len(set(names)) == len(names)


@BOTH
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(ROOT / page)


@BOTH
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_nearly_does(alert: dict[str, Any]) -> None:
    expected = [
        bool(test["exp_alerts"])
        for case in CASES
        for test in case["alert_rule_test"]
        if test["alertname"] == alert["alert"]
    ]
    assert True in expected
    assert False in expected


@BOTH
def test_an_alert_asks_for_metrics_that_there_are(alert: dict[str, Any]) -> None:
    for name in re.findall(r"sternpost_\w+", alert["expr"]):
        assert name in DECLARED or re.sub(r"_(bucket|sum|count)$", "", name) in DECLARED, name


def test_every_case_is_of_an_alert_that_there_is() -> None:
    assert {test["alertname"] for case in CASES for test in case["alert_rule_test"]} == {a["alert"] for a in ALERTS}
