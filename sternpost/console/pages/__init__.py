"""All pages, in the order of the navigation. To add one, write a file here with a `PAGE`, and a row below."""

from sternpost.console.page import Page
from sternpost.console.pages import dead_letters, event, live, mapping, overview, replay

PAGES: list[Page] = [
    overview.PAGE,
    live.PAGE,
    event.PAGE,
    event.ONE,
    dead_letters.PAGE,
    mapping.PAGE,
    replay.PAGE,
]
