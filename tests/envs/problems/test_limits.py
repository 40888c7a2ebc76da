"""Drawing objectives: what training never sees."""

from __future__ import annotations

import numpy as np
import pytest

from envs.errors import OptionError
from envs.problems.limits import (
    BAND_RATIO,
    LimitRange,
    draw_limits,
    draw_objectives,
    held_out_band,
    uniforms_per_draw,
)
from envs.traces.reader import Trace

UNIFORMS = np.random.default_rng(0).random(5000)


def band(limits: np.ndarray) -> np.ndarray:
    return np.floor(np.log(limits) / np.log(BAND_RATIO) + 1e-9).astype(int)


def test_training_and_comparison_share_no_limit() -> None:
    span = (7.0, 900.0)
    assert not held_out_band(band(draw_limits(span, UNIFORMS, "train"))).any()
    assert held_out_band(band(draw_limits(span, UNIFORMS, "held_out"))).all()


def test_draws_stay_about_the_span_and_fill_it() -> None:
    limits = draw_limits((10.0, 1000.0), UNIFORMS, "all")
    assert limits.min() > 10 / BAND_RATIO
    assert limits.max() < 1000 * BAND_RATIO
    counts, _ = np.histogram(np.log(limits), bins=8)
    assert counts.min() > 0.8 * counts.max(), "log-uniform"


def test_what_is_held_out_always_has_limits(trace: Trace) -> None:
    drawn = draw_objectives(
        LimitRange.of(trace.batch), np.random.default_rng(0).random((2000, 4)), "held_out"
    )
    assert np.isfinite(drawn.p99_ms).all(), "no limit is an objective that training has seen"


def test_a_span_without_a_held_out_band_has_no_held_out_limit() -> None:
    inside = BAND_RATIO**4.2, BAND_RATIO**4.8
    assert np.isinf(draw_limits(inside, UNIFORMS, "held_out")).all()
    assert np.isfinite(draw_limits(inside, UNIFORMS, "train")).all()


def test_some_limits_are_left_out_and_power_only_where_it_is_measured(
    trace: Trace, two_tenant_trace: Trace
) -> None:
    rng = np.random.default_rng(1)
    one = draw_objectives(
        LimitRange.of(trace.batch), rng.random((2000, uniforms_per_draw(1))), "train"
    )
    assert one.p99_ms.shape == (2000, 1)
    assert 0.05 < np.isinf(one.p99_ms).mean() < 0.15
    assert np.isinf(one.power_w).all(), "this trace measured no power"
    two = draw_objectives(
        LimitRange.of(two_tenant_trace.batch), rng.random((2000, uniforms_per_draw(2))), "train"
    )
    assert two.p99_ms.shape == (2000, 2)
    assert 0.85 < np.isfinite(two.power_w).mean() < 0.95


def test_an_unknown_split_is_named(trace: Trace) -> None:
    with pytest.raises(OptionError, match="split='test'"):
        draw_objectives(LimitRange.of(trace.batch), np.zeros((1, 4)), "test")
