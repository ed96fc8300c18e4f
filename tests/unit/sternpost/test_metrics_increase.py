"""Rates and quantiles from two scrapes."""

import pytest

from sternpost.operations.status.service_metrics import Increase, Scrape, Series


def scrape(**services: dict[Series, float]) -> Scrape:
    return Scrape(services, {})


def bucket(le: str) -> Series:
    return "h_bucket", (("le", le),)


def test_a_service_that_starts_again_counts_from_zero_and_a_new_one_not_at_all() -> None:
    ok, refused = ("r_total", (("outcome", "ok"),)), ("r_total", (("outcome", "unknown_key"),))
    before = scrape(one={ok: 100.0, refused: 5.0}, two={ok: 50.0})
    after = scrape(one={ok: 110.0, refused: 5.0}, two={ok: 3.0}, three={ok: 1_000.0})
    increase = Increase(before, after)
    assert increase.total("r_total") == 13.0
    assert increase.by_label("r_total", "outcome") == {"ok": 13.0}


def test_quantiles_are_interpolated_over_all_services() -> None:
    zero = {bucket("0.1"): 0.0, bucket("0.5"): 0.0, bucket("+Inf"): 0.0}
    after = scrape(
        one={bucket("0.1"): 40.0, bucket("0.5"): 40.0, bucket("+Inf"): 40.0},
        two={bucket("0.1"): 40.0, bucket("0.5"): 60.0, bucket("+Inf"): 60.0},
    )
    increase = Increase(scrape(one=zero, two=zero), after)
    assert increase.quantile("h", 0.5) == pytest.approx(0.1 * 50 / 80)
    assert increase.quantile("h", 0.9) == pytest.approx(0.1 + 0.4 * (90 - 80) / 20)
    assert Increase(after, after).quantile("h", 0.5) is None
    beyond = Increase(scrape(one=zero), scrape(one={**zero, bucket("+Inf"): 9.0}))
    assert beyond.quantile("h", 0.99) == 0.5
