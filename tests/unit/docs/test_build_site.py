"""What docs/build_site.py makes of the pages, and that the navigation has them all."""

import runpy
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
BUILD = runpy.run_path(str(ROOT / "docs/build_site.py"))


def test_every_page_is_in_the_navigation_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    listed = [page for _, page in BUILD["leaves"](nav)]
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    pages |= {name for name in BUILD["TOP_LEVEL"] if (ROOT / name).exists()}
    assert sorted(listed) == sorted(pages), "add the page to `nav` in zensical.toml"


def test_lists_are_indented_for_python_markdown() -> None:
    text = "Text:\n- one\n  more\n\n  ```sh\n  - not an item\n  ```\n\n  1. inner\n     text\n- two\nlazy\n\nafter"
    assert BUILD["indented"](text) == (
        "Text:\n\n-   one\n    more\n\n    ```sh\n    - not an item\n    ```\n\n    1.  inner\n        text\n\n"
        "-   two\n    lazy\n\nafter"
    )


def test_text_after_a_list_is_not_of_its_last_item() -> None:
    assert BUILD["indented"]("1. a\n\nafter") == "1.  a\n\nafter"


def test_each_file_has_its_place_on_the_site() -> None:
    place = BUILD["place"]
    assert str(place(ROOT / "docs/adr/README.md")) == "adr/README.md"
    assert str(place(ROOT / "docs/images/console.png")) == "images/console.png"
    assert str(place(ROOT / "docs/examples/quix_mapper.py")) == "source/docs/examples/quix_mapper.py.md"
    assert str(place(ROOT / "CONTRIBUTING.md")) == "CONTRIBUTING.md"
    assert str(place(ROOT / "README.md")) == "index.md"


def test_links_lead_to_the_sites_pages() -> None:
    linked: set[Path] = set()
    text = (
        "[a](deploy.md#sizing) [b](../README.md) [c](../ingest/webhook.py) [d](https://example.com/x) [e](../deploy/)\n"
        "```sh\n[f](../README.md)\n```\n[`g`](adr/README.md) [deploy.md](deploy.md)"
    )
    written = BUILD["with_links"](text, ROOT / "docs/operations.md", linked)
    assert written == (
        "[a](deploy.md#sizing) [b](index.md) [c](source/ingest/webhook.py.md) [d](https://example.com/x) e\n"
        "```sh\n[f](../README.md)\n```\n[`g`](adr/README.md) [Deploying](deploy.md)"
    )
    assert linked == {ROOT / "ingest/webhook.py"}
