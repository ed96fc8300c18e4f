"""The generated pages are current."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings.loader import fields, variable
from tools.setting_meanings import meanings

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("generator", sorted((DOCS / "generators").glob("*.py")), ids=lambda file: file.stem)
def test_a_generated_page_is_up_to_date(generator: Path) -> None:
    page = DOCS / f"{generator.stem}.md"
    assert page.read_text("utf-8") == runpy.run_path(str(generator))["render"](), "run `make docs`"


def test_every_value_of_the_chart_has_its_row() -> None:
    def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        if isinstance(values, dict) and values:
            for name, inner in values.items():
                yield from leaves(inner, (*path, name))
        else:
            yield ".".join(path)

    page = (DOCS / "chart.md").read_text("utf-8")
    values = yaml.safe_load((DOCS.parent / "deploy/helm/sternpost/values.yaml").read_text("utf-8"))
    assert not [name for name in leaves(values) if f"| `{name}` |" not in page]


def test_every_setting_has_its_row_and_a_meaning() -> None:
    page = (DOCS / "settings.md").read_text("utf-8")
    texts = meanings()
    for name, _ in fields():
        assert texts.get(name), f"{name} has no docstring"
        row = f"`{name.removeprefix('sources.')}` of each" if name.startswith("sources.") else f"`{variable(name)}`"
        assert row in page, f"{name} has no row in docs/settings.md"
        assert " ".join(texts[name].split()).replace("|", "\\|") in page
