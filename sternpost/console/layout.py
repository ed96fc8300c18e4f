"""The frame around every page: navigation, title, light and dark, and the command that does the same."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nicegui import ui

from sternpost.console.page import Page, PageView, command_line

THEME_COOKIE = "sternpost-theme"
_THEMES = {"auto": None, "light": False, "dark": True}
_THEME_ICONS = {"auto": "brightness_auto", "light": "light_mode", "dark": "dark_mode"}


@contextmanager
def frame(view: PageView, page: Page, pages: Sequence[Page]) -> Iterator[None]:
    """Put the frame on the page; what the block makes comes inside."""
    ui.link("Skip to the content", "#content").classes("skip")
    with ui.element("div").classes("app"):
        with ui.element("div").classes("side"):
            with ui.link(target="/").classes("brand").props('aria-label="Sternpost, overview"'):
                ui.element("span").classes("brand-mark").props("aria-hidden=true")
                ui.label("Sternpost").classes("brand-name")
            with ui.element("nav").props('aria-label="Pages"').classes("nav"):
                for other in pages:
                    if other.in_navigation:
                        _entry(other, current=other.title == page.title)
            with ui.element("div").classes("side-foot"):
                state = "changes allowed" if view.console.allowed else "read-only"
                ui.label(state).classes("mode mode-change" if view.console.allowed else "mode")
                _theme_button(view)
        with ui.element("div").props("id=content tabindex=-1").classes("content"):
            with ui.element("div").classes("page-head"):
                with ui.element("h1"):
                    ui.label(page.title)
                with ui.element("div").classes("same"):
                    ui.label("In a terminal").classes("same-label")
                    view.command_line = ui.label(command_line(view.settings, page.command)).classes("command")
                    copy_button(view.command_line, "Copy the command")
            yield


def copy_button(shown: ui.label, what: str) -> None:
    """Put a button that copies the label's text to the clipboard."""
    ui.button(icon="content_copy", on_click=lambda: _copy(shown.text)).props(
        f'flat round dense size=sm aria-label="{what}" title="{what}"'
    ).classes("icon-button")


def _copy(text: str) -> None:
    ui.clipboard.write(text)
    ui.notify("copied", timeout=1_000)


def _entry(page: Page, *, current: bool) -> None:
    with ui.link(target=page.path.partition("/{")[0] or "/").classes("nav-entry") as link:
        ui.icon(page.icon).props("aria-hidden=true")
        ui.label(page.title)
    if current:
        link.props("aria-current=page")


def _theme_button(view: PageView) -> None:
    """Show a button that goes through the themes; a cookie keeps the choice."""
    chosen = view.client.request.cookies.get(THEME_COOKIE, "auto")
    chosen = chosen if chosen in _THEMES else "auto"
    dark = ui.dark_mode(_THEMES[chosen])

    def choose(name: str) -> None:
        nonlocal chosen
        chosen = name
        dark.set_value(_THEMES[name])
        button.props(f'icon={_THEME_ICONS[name]} aria-label="Theme: {name}" title="Theme: {name}"')
        ui.run_javascript(f"document.cookie = '{THEME_COOKIE}={name}; path=/; max-age=31536000; samesite=strict'")

    names = list(_THEMES)
    button = ui.button(
        icon=_THEME_ICONS[chosen], on_click=lambda: choose(names[(names.index(chosen) + 1) % len(names)])
    ).props(f'flat round dense aria-label="Theme: {chosen}" title="Theme: {chosen}"')
    button.classes("icon-button")
