"""The dashboards: they ask for metrics that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runtime.metrics import DECLARED

FOLDER = Path(__file__).parents[3] / "deploy/helm/sternpost/files/dashboards"
DASHBOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))
}
PANELS = [
    (f"{name}: {panel['title']}", panel)
    for name, found in DASHBOARDS.items()
    for panel in found["panels"]
    if panel["type"] != "row"
]


def metrics(text: str) -> set[str]:
    """The declared metrics that a query asks for; of a name that is not declared, the name itself."""
    names = set()
    for name in re.findall(r"sternpost_[a-z_]+", text):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        names.add(name if name in DECLARED else base)
    return names


def test_every_metric_is_on_a_panel() -> None:
    shown = {name for _, panel in PANELS for target in panel["targets"] for name in metrics(target["expr"])}
    assert not set(DECLARED) - shown, "add them to a panel in deploy/generators/dashboards.py"


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[name for name, _ in PANELS])
def test_a_panel_shows_metrics_that_there_are_with_labels_that_they_have(name: str, panel: dict[str, Any]) -> None:
    del name
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        found = metrics(target["expr"])
        assert found <= set(DECLARED)
        assert found or "up{" in target["expr"]
        scraped = {"namespace", "instance", "job", "le"}
        known = scraped.union(*(DECLARED[each].label_names for each in found))
        used = set(re.findall(r"(\w+)=~?\"", target["expr"]))
        for labels in re.findall(r"by \(([^)]*)\)", target["expr"]):
            used |= {label.strip() for label in labels.split(",")}
        used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert used <= known, used - known


def test_each_has_an_address_of_its_own_and_no_two_panels_share_a_place() -> None:
    assert len({found["uid"] for found in DASHBOARDS.values()}) == len(DASHBOARDS) >= 3
    for found in DASHBOARDS.values():
        taken: set[tuple[int, int]] = set()
        for panel in found["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not taken & cells, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells
