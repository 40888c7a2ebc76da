"""The price of a broken limit in words, in numbers, and in the course of a search."""

from __future__ import annotations

import pytest

from envs.belief.risk import HALVED_AFTER, price_after


def test_the_price_falls_while_limits_are_kept_and_each_broken_one_raises_it() -> None:
    assert price_after(0.3, 0, 0) == 0.3
    assert price_after(0.3, HALVED_AFTER, 0) == pytest.approx(0.15)
    kept = [price_after(0.3, count, 0) for count in range(20)]
    assert kept == sorted(kept, reverse=True)
    assert price_after(0.3, HALVED_AFTER, 1) == pytest.approx(0.3), "one broken takes it all back"
    assert price_after(0.3, HALVED_AFTER, 2) > 0.3
