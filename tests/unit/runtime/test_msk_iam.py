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


def test_a_token_that_cannot_be_renewed_is_used_while_it_is_valid_and_the_renewal_tried_again(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, tries = _Tokens("eu-central-1"), list[float]()
    first, begun = tokens(""), clock[0]

    def fail(_: str) -> tuple[str, float]:
        tries.append(clock[0] - begun)
        raise TokenError("no role")

    with monkeypatch.context() as patch:
        patch.setattr(msk_iam, "_sign", fail)
        while clock[0] < begun + LIFE_S:
            tokens.renew_if_due()
            assert tokens("") == first
            clock[0] += 1
        assert tries[:3] == [LIFE_S / 2, LIFE_S / 2 + RETRY_S, LIFE_S / 2 + 2 * RETRY_S]
        for _ in range(int(2 * RETRY_S)):
            tokens.renew_if_due()
            with pytest.raises(TokenError, match="no role"):
                tokens("")
            clock[0] += 1
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the token for Amazon MSK, valid for another 450 s, cannot be renewed: no role"),
        ("ERROR", "the token for Amazon MSK has ended and cannot be renewed: no role"),
    ]
    clock[0] += RETRY_S
    tokens.renew_if_due()
    assert tokens("")[0] == f"made at {clock[0]:.0f}"


def test_another_failure_to_renew_after_a_success_is_logged_again(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, fails = _Tokens("eu-central-1"), [True, False, True]

    def sometimes(_: str) -> tuple[str, float]:
        if fails.pop(0):
            raise TokenError("no role")
        return "a token", clock[0] + LIFE_S

    monkeypatch.setattr(msk_iam, "_sign", sometimes)
    while fails:
        clock[0] += LIFE_S / 2
        tokens.renew_if_due()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_a_token_from_before_the_clock_was_set_back_is_not_used_if_it_cannot_be_renewed(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers refuse a token that was signed in the future."""
    tokens = _Tokens("eu-central-1")

    def fail(_: str) -> tuple[str, float]:
        raise TokenError("no role")

    monkeypatch.setattr(msk_iam, "_sign", fail)
    clock[0] -= 3_600
    tokens.renew_if_due()
    with pytest.raises(TokenError, match="no role"):
        tokens("")
