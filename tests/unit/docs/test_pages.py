"""What a page names must exist: links, anchors, files, make targets, commands with their options, settings, metrics."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from runtime.metrics import DECLARED
from runtime.settings.loader import fields
from sternpost.cli.main import cli

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

NOT_THERE_YET = {
    "benchmarks/results/",  # made by `make bench`
    "schemas/avro/track_event.v2.avsc",  # the next version of the schema, as an example
}
FILE = re.compile(
    r"(?:schemas|runtime|ingest|processor|sternpost|tests|benchmarks|docs|deploy|tools|requirements)/[\w./-]*"
)
SETTING = re.compile(r"(?:kafka|schema_registry|topics|ingest|processor|log)\.[a-z_]+")
TEST = re.compile(r"(?:test_|…)\w+…?")
METRIC = re.compile(r"sternpost_(?:ingest|processor|log|admin)_\w+")


@cache
def tokens(page: Path) -> list[Token]:
    """Return the page's Markdown tokens, with the parts of inline text in the place of that text."""
    parsed = MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))
    return [part for token in parsed for part in (token.children or [token])]


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub makes them.

    https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#section-links
    """
    parsed = MarkdownIt("commonmark").parse(page.read_text("utf-8"))
    found: set[str] = set()
    for opening, heading in pairwise(parsed):
        if opening.type == "heading_open":
            text = "".join(part.content for part in heading.children or [] if part.type in ("text", "code_inline"))
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", one) is not None for one in found)
            found.add(f"{anchor}-{count}" if count else anchor)
    return found


@cache
def files_of_tests() -> dict[str, str]:
    """Return the text of each file of tests, by its name."""
    return {file.name: file.read_text("utf-8") for file in (ROOT / "tests").rglob("*.py")}


@cache
def names_of_tests() -> set[str]:
    """Return the name of each test."""
    return {name for text in files_of_tests().values() for name in re.findall(r"def (test_\w+)", text)}


def code(page: Path) -> list[str]:
    """Return the page's code spans."""
    return [token.content for token in tokens(page) if token.type == "code_inline"]


def shell_lines(page: Path) -> Iterator[str]:
    """Give each code span, and each line of the page's shell blocks without its comment."""
    yield from code(page)
    for token in tokens(page):
        if token.type == "fence" and token.info in ("sh", "console"):
            for line in token.content.replace("\\\n", " ").splitlines():
                yield re.sub(r"\s#.*", "", line.removeprefix("$ "))


def invocations(page: Path) -> Iterator[list[str]]:
    """Give the arguments of each call of `sternpost` on the page."""
    for line in shell_lines(page):
        for part in re.split(r"\s\|\s|\s&&\s|; ", line):
            try:
                program, *arguments = shlex.split(part) or [""]
            except ValueError:  # a part of a quoted text, which is no command
                continue
            if program in ("sternpost", ".venv/bin/sternpost"):
                yield arguments


def fault(arguments: list[str]) -> str | None:
    """Return which command or option of a call of `sternpost` does not exist; None if all do."""
    command: click.Command = cli
    name = "sternpost"
    context = click.Context(cli)
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--"):
            if option not in {name for param in command.params for name in param.opts} | {"--help"}:
                return f"{name} has no option {option}"
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", argument):
            found = command.get_command(context, argument)
            if found is None:
                return f"{name} has no command {argument}"
            command, name = found, argument
    return None


@EACH_PAGE
def test_a_link_leads_somewhere(page: Path) -> None:
    for token in tokens(page):
        if token.type not in ("link_open", "image"):
            continue
        target = str(token.attrs.get("href") or token.attrs.get("src"))
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"dead link: {target}"
        assert not anchor or anchor in anchors(file), f"dead anchor: {target}"


@EACH_PAGE
def test_a_file_that_is_named_exists(page: Path) -> None:
    for span in code(page):
        if FILE.fullmatch(span) and span not in NOT_THERE_YET:
            assert (ROOT / span).exists(), f"there is no {span}"


@EACH_PAGE
def test_a_test_that_is_named_exists(page: Path) -> None:
    for span in code(page):
        if re.fullmatch(r"test_\w+\.py", span):
            assert span in files_of_tests(), f"there is no {span}"
        elif TEST.fullmatch(span):
            pattern = re.compile(span.replace("…", r"\w*"))
            assert any(pattern.fullmatch(name) for name in names_of_tests()), f"there is no test {span}"


@EACH_PAGE
def test_a_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in shell_lines(page):
        if named := re.match(r"(?:[A-Z_]+=\S+ )*make ([a-z-]+)", line):
            assert named[1] in targets, f"there is no `make {named[1]}`"


@EACH_PAGE
def test_a_command_that_is_named_exists_with_its_options(page: Path) -> None:
    faults = {found for arguments in invocations(page) if (found := fault(arguments))}
    assert not faults


@EACH_PAGE
def test_a_setting_that_is_named_exists(page: Path) -> None:
    known = {name for name, _ in fields()}
    if page.name in ("deploy.md", "chart.md"):  # they name values of the chart, too
        values = yaml.safe_load((ROOT / "deploy/helm/sternpost/values.yaml").read_text("utf-8"))
        known |= {f"{part}.{name}" for part in ("ingest", "processor") for name in values[part]}
    for span in code(page):
        if SETTING.fullmatch(span):
            assert span in known, f"there is no setting {span}"


@EACH_PAGE
def test_a_metric_that_is_named_exists(page: Path) -> None:
    for span in code(page):
        for name in METRIC.findall(span):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in DECLARED or name in DECLARED, f"no metric {name}"


def test_a_message_that_the_runbook_quotes_is_one_of_the_programs() -> None:
    source = "".join(
        file.read_text("utf-8")
        for folder in ("schemas", "runtime", "ingest", "processor", "sternpost")
        for file in sorted((ROOT / folder).rglob("*.py"))
    )
    source = re.sub(r'"\s+f?"', "", source)  # a text may be written in several parts
    runbook = [ROOT / "docs/operations.md", *sorted((ROOT / "docs/tasks").glob("*.md"))]
    prose = "".join(token.content for page in runbook for token in tokens(page) if token.type == "text")
    quoted = [text for text in re.findall(r'"([^"]+)"', prose) if not text.startswith("Assignments")]  # that is Kafka's
    assert len(quoted) > 5
    for text in quoted:
        for part in re.findall(r"[^…]+", text):
            assert part.strip() in source, f"no message says {part.strip()!r}"


def test_the_comparison_quotes_figures_of_the_performance_page() -> None:
    quoted = (ROOT / "docs/comparison.md").read_text("utf-8").partition("## Figures")[2].partition("\n## ")[0]
    measured = (ROOT / "docs/performance.md").read_text("utf-8")
    figures = re.findall(r"\d+,\d{3}|\d+\.\d(?= µs)", quoted)
    assert len(figures) > 5
    for figure in figures:
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d.,]\d)", measured), f"performance.md has no {figure}"


def test_the_checks_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c\n\n# A b c\n\n[x](#a-b-c-1) [y](#a-b-c-2) [z](gone.md) `runtime/gone.py` `ingest.gone`\n\n"
        "```sh\nsternpost --set a=b topics gone   # text\necho x | sternpost tail --gone\n```\n",
        "utf-8",
    )
    assert anchors(page) == {"a-b-c", "a-b-c-1"}
    assert code(page) == ["b", "runtime/gone.py", "ingest.gone"]
    assert [fault(arguments) for arguments in invocations(page)] == [
        "topics has no command gone",
        "tail has no option --gone",
    ]
    with pytest.raises(AssertionError, match="dead anchor: #a-b-c-2"):
        test_a_link_leads_somewhere(page)
    with pytest.raises(AssertionError, match=r"there is no runtime/gone\.py"):
        test_a_file_that_is_named_exists(page)
    with pytest.raises(AssertionError, match=r"there is no setting ingest\.gone"):
        test_a_setting_that_is_named_exists(page)
