"""The generated files of deploy/ are current."""

import runpy
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize("generator", sorted((DEPLOY / "generators").glob("*.py")), ids=lambda file: file.stem)
def test_a_generated_file_is_up_to_date(generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DEPLOY.parent))
    files = runpy.run_path(str(generator))["files"]()
    assert files
    for path, text in files.items():
        assert (DEPLOY / path).read_text("utf-8") == text, f"deploy/{path} is stale: run `make docs`"
