"""The generated pages are current."""

import runpy
from pathlib import Path

import pytest

from runtime.settings.loader import fields, variable
from tools.setting_meanings import meanings

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("generator", sorted((DOCS / "generators").glob("*.py")), ids=lambda file: file.stem)
def test_a_generated_page_is_up_to_date(generator: Path) -> None:
    page = DOCS / f"{generator.stem}.md"
    assert page.read_text("utf-8") == runpy.run_path(str(generator))["render"](), "run `make docs`"


def test_every_setting_has_its_row_and_a_meaning() -> None:
    page = (DOCS / "settings.md").read_text("utf-8")
    texts = meanings()
    for name, _ in fields():
        assert texts.get(name), f"{name} has no docstring"
        row = f"`{name.removeprefix('sources.')}` of each" if name.startswith("sources.") else f"`{variable(name)}`"
        assert row in page, f"{name} has no row in docs/settings.md"
        assert " ".join(texts[name].split()).replace("|", "\\|") in page
