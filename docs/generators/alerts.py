"""docs/alerts.md: all alerts, with when they fire and where their runbook is."""

import re
from pathlib import Path

import yaml

ALERTS = Path(__file__).parents[2] / "deploy/prometheus/alerts.yaml"
INTRODUCTION = """# Alerts

Generated from [deploy/prometheus/alerts.yaml](../deploy/prometheus/alerts.yaml), which has their expressions. Each name
leads to its runbook. *Critical* needs somebody now; a *warning* can wait until the morning.
"""


def render() -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        lines += [f"## {group['name']}", "", "| alert | severity | after | what it says |", "| --- | --- | --- | --- |"]
        for rule in group["rules"]:
            if name := rule.get("alert"):
                notes = rule["annotations"]
                anchor = notes["runbook_url"].partition("#")[2]
                said = f"{_plain(notes['summary'])}. {_plain(notes['description'])}"
                severity = rule["labels"]["severity"]
                lines.append(
                    f"| [{name}](operations.md#{anchor}) | {severity} | {rule.get('for', 'at once')} | {said} |"
                )
        lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return a text of Prometheus' templates with the labels' names and an N for the values."""
    named = re.sub(r"\{\{\s*\$labels\.(\w+)\s*\}\}", r"*\1*", " ".join(text.split()))
    return re.sub(r"\{\{[^}]*\}\}", "N", named).replace("|", "\\|").rstrip(".")
