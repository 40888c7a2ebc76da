"""What is observed: pure, bounded, and with the meaning that the policy relies on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.belief.features import ALLOWED, FEATURES, Situation, observe
from envs.belief.kernels import compiled
from envs.tuning_env import BOUND

B, M, P = 5, 40, 12
KERNELS = [None] if compiled() is None else [None, compiled().describe]  # type: ignore[union-attr]


def column(name: str) -> int:
    return FEATURES.index(name)


def state(seed: int = 0, tenants: int = 1, wild: float = 1.0) -> dict[str, Any]:
    """Everything that is observed, drawn at random; row 0 has measured nothing, row 1 has no limits, row 2 few candidates."""
    rng = np.random.default_rng(seed)
    quantities = 2 * tenants + 1
    measured = rng.random((B, M)) < 0.1
    measured[0] = False
    best = np.where(measured.any(axis=1), measured.argmax(axis=1), -1)
    present = np.ones((B, M), dtype=bool)
    present[2, 5:] = False
    best[2] = -1
    limits = np.concatenate(
        [np.full((B, tenants), np.inf), rng.standard_normal((B, quantities - tenants))], axis=1
    ).astype(np.float32)
    limits[1] = np.inf
    return {
        "mean": (wild * rng.standard_normal((B, quantities, M)))
        .clip(-80, 80)
        .astype(np.float32),  # single precision ends at 88
        "variance": (wild * rng.uniform(1e-4, 0.5, (B, quantities, M))).astype(np.float32),
        "noise": rng.uniform(1e-4, 1e-2, (B, quantities)).astype(np.float32),
        "limits": limits,
        "weights": rng.uniform(0.5, 2, (B, tenants)).astype(np.float32),
        "present": present,
        "measured": measured,
        "held": measured & (best >= 0)[:, None] & present,
        "best": best,
        "best_score": np.where(best >= 0, rng.standard_normal(B), -30.0).astype(np.float32),
        "used": np.arange(B),
        "budget": 8,
        "broke": rng.random(B) < 0.5,
        "known": rng.integers(0, 2, (B, 3)).astype(np.float32),
    }


def seen(known: dict[str, Any], kernel: Any = None) -> tuple[np.ndarray, np.ndarray]:
    return observe(Situation(**known), P, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tenants", [1, 2])
def test_looking_changes_nothing_and_gives_the_same_again(kernel: Any, tenants: int) -> None:
    given_ = state(tenants=tenants)
    before = {name: np.array(value) for name, value in given_.items()}
    first, again = seen(given_, kernel), seen(given_, kernel)
    assert all((np.array(given_[name]) == value).all() for name, value in before.items())
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()


@pytest.mark.parametrize("kernel", KERNELS)
@given(st.integers(0, 1000), st.sampled_from([1, 2]), st.sampled_from([0.01, 1.0, 20.0]))
@settings(max_examples=40, deadline=None)
def test_every_feature_stays_within_its_bound(
    kernel: Any, seed: int, tenants: int, wild: float
) -> None:
    observation, shown = seen(state(seed, tenants, wild), kernel)
    assert observation.shape == (B, P, len(FEATURES))
    assert (np.abs(observation) <= BOUND).all(), "which also says that all are numbers"
    assert all(len(set(row)) == P for row in shown.tolist()), "each candidate once"
    assert ((shown >= 0) & (shown < M)).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_was_measured_may_be_chosen_again_only_to_wait_with(kernel: Any) -> None:
    given_ = state()
    observation, shown = seen(given_, kernel)
    allowed, measured, is_best = (
        observation[:, :, column(name)] > 0.5 for name in ("allowed", "measured", "is_best")
    )
    rows = np.arange(B)[:, None]
    assert (measured == given_["measured"][rows, shown]).all()
    assert (is_best == (shown == given_["best"][:, None])).all()
    waits = given_["held"].any(axis=1)[:, None] & (np.arange(P) == 0)
    assert (allowed == (given_["present"][rows, shown] & (~measured | waits))).all()
    assert column("allowed") == ALLOWED
    has_best = given_["best"] >= 0
    assert given_["held"][has_best, shown[has_best, 0]].all(), "it comes first"
    assert (observation[:, :, column("has_best")] == has_best[:, None]).all()
    assert set(shown[2, :5]) == set(range(5)), "what is not there comes last"


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_safest_is_always_among_what_is_shown(kernel: Any) -> None:
    given_ = state(3)
    given_["mean"][4, 1:, 17] = -5.0  # far inside all limits, and slow
    given_["mean"][4, 0, 17] = -20.0
    given_["measured"][4] = False
    given_["best"][4] = -1
    assert 17 in seen(given_, kernel)[1][4, :2]


@pytest.mark.parametrize("kernel", KERNELS)
def test_waits_with_the_faster_of_what_is_safe(kernel: Any) -> None:
    """Two that are certain to keep the limits, and the best, which as good as sits on one."""
    given_ = state(3)
    given_["held"][4] = given_["measured"][4] = False
    given_["best"][4] = 20
    for candidate, score, late in ((18, -1.0, -5.0), (19, -2.0, -5.0), (20, 1.0, -0.001)):
        given_["held"][4, candidate] = given_["measured"][4, candidate] = True
        given_["mean"][4, 0, candidate], given_["variance"][4, :, candidate] = score, 1e-4
        given_["mean"][4, 1:, candidate] = given_["limits"][4, 1:] + late
    observation, shown = seen(given_, kernel)
    assert shown[4, 0] == 18
    assert observation[4, 0, column("allowed")] == 1


@pytest.mark.parametrize("kernel", KERNELS)
def test_features_on_paper(kernel: Any) -> None:
    """One candidate known to the last digit: 1 above the best, 0.5 inside its latency limit, no power limit."""
    given_ = state()
    row = 3
    given_["best"][row], given_["best_score"][row], given_["weights"][row] = 6, 0.0, 1.0
    given_["measured"][row] = False
    given_["measured"][row, 6] = True
    given_["limits"][row] = (np.inf, 0.0, np.inf)
    given_["mean"][row, 0], given_["mean"][row, 0, 9], given_["mean"][row, 1, 9] = -3.0, 1.0, -0.5
    given_["variance"][row, :, 9], given_["noise"][row] = 0.03, 0.01
    observation, shown = seen(given_, kernel)
    found = dict(
        zip(FEATURES, observation[row, shown[row].tolist().index(9)].tolist(), strict=True)
    )
    assert found["log_score_over_best"] == pytest.approx(1.0)
    assert found["score_spread"] == pytest.approx(0.03**0.5)
    assert found["worst_distance"] == pytest.approx(-0.5)
    assert found["worst_margin"] == pytest.approx(0.5 / 0.2 / 4)
    assert found["expected_gain"] == pytest.approx(1.0, rel=0.01), "as good as certain"
    assert (found["latency_limited"], found["power_limited"]) == (1.0, 0.0)
    assert (found["used"], found["left"]) == (3 / 8, 5 / 8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_is_the_same_whatever_stands_beside_it(kernel: Any) -> None:
    given_ = state(7, 2)
    many = seen(given_, kernel)
    for row in range(B):
        alone = seen(
            {
                name: value[row : row + 1] if isinstance(value, np.ndarray) else value
                for name, value in given_.items()
            },
            kernel,
        )
        assert (alone[0][0] == many[0][row]).all()
        assert (alone[1][0] == many[1][row]).all()


@pytest.mark.skipif(compiled() is None, reason="numba is not installed")
@pytest.mark.parametrize("tenants", [1, 2])
def test_compiled_and_plain_agree(tenants: int) -> None:
    for seed in range(20):
        given_ = state(seed, tenants)
        plain, shown = seen(given_)
        quick, as_quick = seen(given_, KERNELS[-1])
        same = (shown == as_quick).all(
            axis=1
        )  # candidates that are as good as equal may change places
        assert same.mean() >= 0.6
        np.testing.assert_allclose(quick[same], plain[same], rtol=1e-4, atol=1e-4)
