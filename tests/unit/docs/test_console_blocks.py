"""How pages mark their shell blocks. tests/site/test_console.py runs them."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.site.console_blocks import blocks, matches

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGE = textwrap.dedent("""\
    Text.

    <!-- not run: it takes a day -->
    ```sh
    make everything
    ```

    <!-- background until: up -->
    ```sh
    serve
    ```

    - In a list:

      ```console
      $ echo 'a
      b' \\
        | cat
      a
      b
      $ true
      ```

    <!-- not run: this comment belongs to no block -->

    Text.

    ```sh
    one
    two
    ```
    ```python
    print()
    ```
    """)


def test_a_pages_blocks_and_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, "utf-8")
    found = list(blocks(page))
    assert [(block.kind, block.reason, block.until) for block in found] == [
        ("sh", "it takes a day", None),
        ("sh", None, "up"),
        ("console", None, None),
        ("sh", None, None),
    ]
    assert found[2].steps == [("echo 'a\nb' \\\n  | cat", ["a", "b"]), ("true", [])]
    assert found[3].steps == [("one\ntwo\n", [])]
    assert str(found[0]) == "page.md:4"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_block_that_no_test_can_run_says_why(page: Path) -> None:
    for block in blocks(page):
        if not block.reason:
            assert not re.search(r"^\W*(kubectl|helm|docker|ssh|sternpost console)\b", block.content, re.MULTILINE), (
                f"{block}: put `<!-- not run: REASON -->` before it (tests/site/console_blocks.py)"
            )


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (["a", "b"], "a\nb\n", True),
        (["a", "b"], "a\nc\n", False),
        (["a"], "a\nb\n", False),
        (["3 of … s (…)"], "3 of 4 s (200)\n", True),
        (["3 of … s"], "3 of 4\n5 s\n", False),
        (["…", "b"], "x\ny\nb\n", True),
        (["a", "…"], "a\n", True),
        ([], "", True),
        ([], "something", False),
        (["a.c"], "abc", False),
    ],
)
def test_what_matches_the_output_that_a_page_shows(expected: list[str], output: str, same: bool) -> None:
    assert matches(expected, output) is same
