"""The alerts by promtool: their syntax, and the unit tests beside them."""

from tests.deploy.tools import DEPLOY, run, tool

RULES = DEPLOY / "prometheus" / "alerts.yaml"


def test_promtool_takes_the_rules() -> None:
    assert "SUCCESS" in run(tool("promtool"), "check", "rules", RULES)


def test_each_alert_fires_when_it_must_and_not_when_it_nearly_must() -> None:
    said = run(tool("promtool"), "test", "rules", *sorted(RULES.parent.glob("alerts*_test.yaml")), timeout_s=600)
    assert said.count("SUCCESS") == 2
