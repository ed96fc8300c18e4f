"""What an address's fragment holds, without a browser."""

from hypothesis import given
from hypothesis import strategies as st

from sternpost.console.fragment import LONGEST, pack, unpack


@given(st.text())
def test_what_is_packed_comes_back_and_is_safe_in_an_address(text: str) -> None:
    packed = pack(text)
    assert packed is not None
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in packed)
    assert unpack(packed, 1_000_000) == text


@given(st.text() | st.binary().map(lambda data: data.hex()))
def test_any_other_fragment_is_none_or_a_text(fragment: str) -> None:
    found = unpack(fragment, 1_000)
    assert found is None or len(found) <= 1_000


def test_a_small_fragment_cannot_become_a_large_text() -> None:
    bomb = pack("a" * 10_000_000)
    assert bomb is not None
    assert len(bomb) < LONGEST
    assert unpack(bomb, 1_048_576) is None
    assert unpack("A" * (LONGEST + 1), 1_048_576) is None
