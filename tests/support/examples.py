"""How many examples Hypothesis tries: a share of the profile's number, so that `make unit` can try fewer of all."""

from hypothesis import settings


def examples(share: float) -> int:
    """Return `share` times the number of examples of the profile in use, at least one."""
    profile = settings.default
    assert profile is not None
    return max(1, round(profile.max_examples * share))
