"""Tables of other people's text: every cell is text, or what a function puts into it."""

from collections.abc import Callable, Iterable, Sequence

from nicegui import ui

Cell = str | Callable[[], object]


def table(
    label: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numbers: Sequence[str] = (),
    whole: Sequence[str] = (),
    tall: bool = False,
) -> None:
    """Put a table that scrolls sideways if it must; on a phone, each row is a list of its cells.

    `label` says to screen readers what it holds, and no other on the page has it. Of the columns, named by their
    headers, `numbers` are aligned right, and the words of `whole` are not broken. A `tall` table scrolls in itself.
    """

    def classes(header: str) -> str:
        return "number" if header in numbers else "whole" if header in whole else ""

    with ui.element("div").classes("scroll-x tall" if tall else "scroll-x").props("tabindex=0 role=region") as region:
        region.props["aria-label"] = label
        with ui.element("table").classes("plain stacked"):
            with ui.element("thead"), ui.element("tr"):
                for header in headers:
                    with ui.element("th").props("scope=col").classes(classes(header)):
                        ui.label(header)
            with ui.element("tbody"):
                for row in rows:
                    with ui.element("tr"):
                        for header, cell in zip(headers, row, strict=True):
                            with ui.element("td").classes(classes(header)).props(f'data-label="{header}"'):
                                put(cell)


def put(cell: Cell) -> None:
    """Put a cell's text, or what its function puts."""
    if isinstance(cell, str):
        ui.label(cell)
    else:
        cell()
