"""Tokens for Amazon MSK: made before they are asked for, and by no thread of a client."""

import time

import pytest

from runtime.kafka import msk_iam
from runtime.kafka.msk_iam import RETRY_S, TokenError, _Tokens

LIFE_S = 900.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day and since the start, and signatures at it."""
    now = [1_700_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(msk_iam, "_sign", lambda _: (f"made at {now[0]:.0f}", now[0] + LIFE_S))
    return now


def test_a_client_that_asks_is_given_what_there_is_and_signs_nothing(clock: list[float]) -> None:
    tokens, first = _Tokens("eu-central-1"), (f"made at {clock[0]:.0f}", clock[0] + LIFE_S)
    clock[0] += 2 * LIFE_S
    assert tokens("") == first
    tokens.renew_if_due()
    assert tokens("") == (f"made at {clock[0]:.0f}", clock[0] + LIFE_S)


@pytest.mark.parametrize(("later_s", "renewed"), [(0, False), (449, False), (450, True), (1_000, True), (-1, True)])
def test_it_is_renewed_in_the_middle_of_its_life_and_if_the_clock_was_set_back(
    clock: list[float], later_s: int, renewed: bool
) -> None:
    tokens = _Tokens("eu-central-1")
    first = tokens("")
    clock[0] += later_s
    tokens.renew_if_due()
    assert (tokens("") != first) is renewed


def test_a_signature_that_cannot_be_had_is_said_and_tried_again(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, tries = _Tokens("eu-central-1"), list[float]()

    def fail(_: str) -> tuple[str, float]:
        tries.append(clock[0])
        raise TokenError("no role")

    with monkeypatch.context() as patch:
        patch.setattr(msk_iam, "_sign", fail)
        clock[0] += LIFE_S / 2
        for _ in range(int(2 * RETRY_S) + 1):
            tokens.renew_if_due()
            clock[0] += 1
        assert len(tries) == 3
        with pytest.raises(TokenError, match="no role"):
            tokens("")
    clock[0] += RETRY_S
    tokens.renew_if_due()
    assert tokens("")[0] == f"made at {clock[0]:.0f}"
