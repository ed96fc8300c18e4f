"""Build the documentation site into build/site/html: `make site`.

The pages in docs/ are written for GitHub, and read well there. This assembles them for Zensical, which reads them in
Python-Markdown's dialect: it adds the pages of the repository's top level, gives each linked source file a page of its
own, puts drawings into the page that shows them (so that they follow its colours), and indents lists as that dialect
wants it. Then it builds strictly, writes llms.txt, and checks each link and anchor of what was built.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BUILT = ROOT / "build/site"
PAGES = BUILT / "pages"
HTML = BUILT / "html"
TOP_LEVEL = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
"""Pages of the repository's top level that the site has, too. README.md is what index.md is there."""
IMAGES = (".png", ".webp")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".csv": "text", ".avsc": "json", ".sql": "sql"}
CHECK = ("--offline", "--include-fragments=anchor-only", "--no-progress")
"""Have lychee follow each link of the site, with its anchor, and no link out of it."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def main() -> int:
    """Build the site; return 1 if a page, a link or an anchor is at fault."""
    shutil.rmtree(BUILT, ignore_errors=True)
    assemble()
    tools = ROOT / ".venv/site/bin"
    if subprocess.run([tools / "zensical", "build", "--strict", "--clean"], cwd=ROOT, check=False).returncode:
        return 1
    (HTML / "llms.txt").write_text(llms(), "utf-8")
    check = [
        tools / "lychee",
        "--offline",
        "--include-fragments=anchor-only",
        "--no-progress",
        "--root-dir",
        HTML,
        HTML,
    ]
    return subprocess.run(check, cwd=HTML, check=False).returncode and 1


def assemble() -> None:
    """Write the pages as Zensical reads them."""
    sources = [*(DOCS.rglob("*.md")), *(ROOT / name for name in TOP_LEVEL if (ROOT / name).exists())]
    linked: set[Path] = set()
    for source in sources:
        target = PAGES / place(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = indented(source.read_text("utf-8"))
        target.write_text(with_links(text, source, linked), "utf-8")
    for file in linked:
        target = PAGES / place(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        name = file.relative_to(ROOT).as_posix()
        language = LANGUAGES.get(file.suffix, "text")
        content = f"# {file.name}\n\n`{name}`\n\n````{language}\n{file.read_text('utf-8')}````\n"
        target.write_text(content, "utf-8")
    for image in (file for file in DOCS.rglob("*") if file.suffix in IMAGES):
        target = PAGES / place(image)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    shutil.copytree(DOCS / "theme", PAGES / "theme")


def place(file: Path) -> PurePosixPath:
    """Return where a file of the repository stands among the assembled pages."""
    path = PurePosixPath(file.relative_to(ROOT).as_posix())
    if path == PurePosixPath("README.md"):
        return PurePosixPath("index.md")
    if path.parts[0] == "docs" and path.suffix in (".md", *IMAGES):
        return path.relative_to("docs")
    return path if str(path) in TOP_LEVEL else PurePosixPath("source", f"{path}.md")


def with_links(text: str, page: Path, linked: set[Path]) -> str:
    """Return the page's text with links that lead to the assembled pages, and with its drawings in it.

    Files outside of docs/ that are linked are added to `linked`.
    """

    def link(match: re.Match[str]) -> str:
        image, label, target, anchor = match.groups()
        file = (page.parent / target).resolve()
        if image and file.suffix == ".svg":
            return drawing(file, label)
        if file.is_dir() or not file.is_relative_to(ROOT):
            return str(label)
        if image:
            return match[0]
        if str(place(file)).startswith("source/"):
            linked.add(file)
        if re.fullmatch(r"[\w/-]+\.md", label):  # what reads well in a folder of files, and not on a site
            label = title(file)
        return f"[{label}]({os.path.relpath(place(file), place(page).parent)}{anchor or ''})"

    return outside_fences(text, lambda part: LINK.sub(link, part))


def title(page: Path) -> str:
    """Return a page's first heading."""
    found = re.search(r"^# (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else page.stem


def drawing(file: Path, label: str) -> str:
    """Return a drawing as HTML, with its text for those who do not see it."""
    svg = re.sub(r"<\?xml[^>]*>\s*|\n\s*", "", file.read_text("utf-8"))
    return f'<figure class="drawing">{svg.replace("<svg", f"""<svg role="img" aria-label="{label}" """, 1)}</figure>'


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Return the text with a change made to everything but its code blocks."""
    parts = re.split(r"(^[ ]*(`{3,})[^\n]*\n.*?^[ ]*\2[ ]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if index % 3 else change(part) for index, part in enumerate(parts) if index % 3 != 2)


def indented(text: str) -> str:
    """Return the text with what belongs to a list's item indented by four spaces, as Python-Markdown wants it."""
    lines = text.split("\n")
    found = [
        token for token in MarkdownIt("commonmark").parse(text) if token.type.endswith("list_open") and not token.level
    ]
    for token in reversed(found):
        first, end = token.map or (0, 0)
        before = [""] if first and lines[first - 1].strip() else []
        lines[first:end] = [*before, *_indented_list(lines[first:end]), ""]
    return "\n".join(lines)


def _indented_list(lines: list[str]) -> list[str]:
    """Return a list's lines, indented."""
    written: list[str] = []
    tokens = MarkdownIt("commonmark").parse("\n".join(lines))
    for item in (token for token in tokens if token.type == "list_item_open" and token.level == 1):
        first, end = item.map or (0, 0)
        marker = re.match(r"\s*(\S+)\s+", lines[first])
        width = marker.end() if marker else 0
        rest = (line[width:] if not line[:width].strip() else line.lstrip() for line in lines[first + 1 : end])
        content = indented("\n".join([lines[first][width:], *rest])).split("\n")
        written.append(f"{lines[first][:width].strip():<3} {content[0]}")
        written += [f"    {line}" if line.strip() else "" for line in content[1:]]
    return written


def llms() -> str:
    """Return llms.txt: what the site has, for programs that read it (https://llmstxt.org)."""
    config = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}", ""]
    for section in config["nav"]:
        (title,) = section
        lines += [f"## {title}", ""]
        for name, page in leaves([section]):
            lines.append(f"- [{name}]({page.removesuffix('.md')}.html): {summary(PAGES / page)}")
        lines.append("")
    return "\n".join(lines)


def leaves(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Give title and page of each entry of the navigation."""
    for entry in nav:
        for title, content in entry.items():
            if isinstance(content, str):
                yield title, content
            else:
                yield from leaves(content)


def summary(page: Path) -> str:
    """Return the first sentence of a page, as plain text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))
    opening = next(index for index, token in enumerate(tokens) if token.type == "paragraph_open" and not token.level)
    children = tokens[opening + 1].children or []
    text = "".join(part.content or " " for part in children if part.type in ("text", "code_inline", "softbreak"))
    return re.split(r"(?<=[.:?])\s", text)[0]


if __name__ == "__main__":
    sys.exit(main())
