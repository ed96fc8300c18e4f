"""The alerts by promtool: their syntax, and the unit tests in deploy/prometheus/alerts_test.yaml."""

from tests.deploy.tools import DEPLOY, run, tool

RULES = DEPLOY / "prometheus" / "alerts.yaml"


def test_promtool_takes_the_rules() -> None:
    assert "SUCCESS" in run(tool("promtool"), "check", "rules", RULES)


def test_each_alert_fires_when_it_must_and_not_when_it_nearly_must() -> None:
    assert "SUCCESS" in run(tool("promtool"), "test", "rules", RULES.with_name("alerts_test.yaml"))
