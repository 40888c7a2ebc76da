"""What the policy sees on a device is what it saw in training, whatever was measured and is believed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.belief.features import Situation, observe
from tests.envs.belief.test_features import B, P, state
from tuner.policy.view import Given, Progress, outlook_of, view_of


@pytest.mark.parametrize("tenants", [1, 2])
@given(st.integers(0, 1000), st.sampled_from([0.01, 1.0, 20.0]), st.integers(0, B - 1))
@settings(max_examples=40, deadline=None)
def test_it_is_a_row_of_what_the_environment_shows_bit_by_bit(
    tenants: int, seed: int, wild: float, row: int
) -> None:
    everything = state(seed, tenants, wild)
    everything["present"][:] = True  # on a device, nothing pads a shortlist
    situation = Situation(**everything)
    there, shown_there = observe(situation, P)
    limited = (situation.limits[row, tenants:] < float("inf")).tolist()
    columns = (situation.noise[row][:, None], situation.limits[row][:, None])
    given_ = Given(
        *columns,
        situation.weights[row],
        limited[-1],
        any(limited[:-1]),
        tuple(situation.known[row].tolist()),
        situation.budget,
    )
    held = situation.held[row].nonzero()[0].tolist()
    progress = Progress(
        situation.measured[row].astype("f4"),
        held,
        int(situation.best[row]),
        situation.best_score[row],
        int(situation.used[row]),
        bool(situation.broke[row]),
    )
    outlook = outlook_of(situation.mean[row], situation.variance[row], given_)
    for _ in range(2):  # looking changes nothing
        here, shown_here = view_of(outlook, given_, progress, P)
        assert shown_here.tolist() == shown_there[row].tolist()
        assert (here == there[row]).all()
