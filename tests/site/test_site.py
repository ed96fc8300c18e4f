"""The built site in a browser: it asks nobody but its own server, fits a phone, and is searched without a server."""

import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 120_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(built: Path) -> list[str]:
    return sorted(file.relative_to(built).as_posix() for file in built.rglob("*.html"))


def test_no_page_asks_a_third_party(browser: Browser, built: Path, address: str) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    foreign: set[str] = set()
    missing: set[str] = set()
    context.on(
        "request", lambda asked: foreign.add(asked.url) if not asked.url.startswith((address, "data:")) else None
    )
    context.on("response", lambda answer: missing.add(answer.url) if answer.status >= 400 else None)
    page = context.new_page()
    assert len(pages(built)) > 20
    for name in pages(built):
        page.goto(f"{address}/{name}", wait_until="networkidle")
        if name != "404.html":
            assert not missing, f"{name} lacks a file"
    context.close()
    assert not foreign


def test_no_page_is_wider_than_a_phone(browser: Browser, built: Path, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    for name in pages(built):
        page.goto(f"{address}/{name}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{name} is {width} px wide"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_drawing_takes_the_colours_of_the_page(browser: Browser, address: str, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{address}/index.html")
    ink = "getComputedStyle(document.querySelector('.drawing text')).fill"
    text = "getComputedStyle(document.querySelector('.md-typeset')).color"
    page.wait_for_function(f"{ink} === {text}")  # a page may take its colours a moment after it was loaded
    context.close()


@pytest.mark.parametrize("from_disk", [False, True])
def test_search_finds_a_heading(browser: Browser, built: Path, address: str, from_disk: bool) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{built.as_uri() if from_disk else address}/index.html", wait_until="networkidle")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search").fill("SternpostCertificateExpires")
    page.get_by_role("option", name="SternpostCertificateExpires").first.click()
    expect(page).to_have_url(re.compile(r"/operations\.html.*#sternpostcertificateexpires$"), timeout=PATIENCE_MS)
    context.close()


def test_llms_txt_names_every_page_of_the_navigation(built: Path) -> None:
    text = (built / "llms.txt").read_text("utf-8")
    assert text.startswith("# Sternpost\n")
    for name in ("operations.html", "settings.html", "reliability.html", "CONTRIBUTING.html"):
        assert f"({name}): " in text


@pytest.mark.parametrize(
    "broken", ["[gone](gone.html)", "[gone](operations.html#gone)", "[gone](#gone)"], ids=["page", "anchor", "here"]
)
def test_a_dead_link_is_found(built: Path, tmp_path: Path, broken: str) -> None:
    site = shutil.copytree(built, tmp_path / "site")
    target = broken.split("(")[1].rstrip(")")
    page = site / "index.html"
    page.write_text(page.read_text("utf-8").replace("</body>", f'<a href="{target}">gone</a></body>'), "utf-8")
    check = runpy.run_path(str(ROOT / "docs/build_site.py"))["CHECK"]
    done = subprocess.run(
        [ROOT / ".venv/site/bin/lychee", *check, "--root-dir", site, site], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "gone" in done.stdout
