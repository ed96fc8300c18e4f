"""Text from outside is shown, never obeyed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sternpost.operations.printable import printable

anything = st.text(st.characters(codec=None))
"""Halves of surrogate pairs among it."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\u001b]0;owned\u0007"),
        ("\x9b2J", r"\u009b2J"),
        ("a\r\nb\tc\x7f", r"a\r\nb\tc\u007f"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\udb40\udc41"),
        ("Größe 東京 😀", "Größe 東京 😀"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(anything)
def test_all_of_it_can_be_shown(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()


@given(anything)
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text
