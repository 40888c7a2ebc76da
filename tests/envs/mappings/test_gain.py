import math
from dataclasses import replace

import numpy as np
import pytest

from envs.mappings.gain import gain_of
from envs.mappings.search import pareto_front, single_accelerators
from tests.envs.mappings.random_costs import random_costs


def two_groups(times, energies, transition=0.0):
    """Return a network whose groups take these times and energies on `cuda` and `dla0`."""
    nothing = np.zeros(2)
    moves = np.zeros((2, 2, 2))
    moves[1, 0, 1] = moves[1, 1, 0] = transition
    return replace(
        random_costs(0, 2, 2),
        accelerators=("tensor", "dla0"),
        time_s=np.array(times, dtype=float),
        energy_j=np.array(energies, dtype=float),
        transition_s=moves,
        transition_j=moves,
        start_s=nothing,
        start_j=nothing,
        end_s=nothing,
        end_j=nothing,
    )


def gains(costs):
    front, singles = pareto_front(costs), single_accelerators(costs)
    return {weight: gain_of(front, singles, weight) for weight in (0.0, 0.5, 1.0)}


def test_the_gain_is_what_the_best_mapping_saves_against_the_best_single_accelerator():
    # Whole: tensor 2 s and 8 J, dla0 4 s and 3 J. First tensor, then dla0: 2 s and 4 J.
    found = gains(two_groups([[1, 3], [1, 1]], [[3, 2], [5, 1]], transition=0.0))
    assert found[0.0].share == pytest.approx(1 - 3 / 3)  # dla0 has the least energy
    assert found[1.0].share == pytest.approx(0)
    # By both: sqrt(2 * 4) against the better of sqrt(2 * 8) and sqrt(4 * 3).
    assert found[0.5].share == pytest.approx(1 - math.sqrt(8 / 12))
    assert found[0.5].mapping.mapping.name == "tensor_to_1_dla0"
    assert found[0.5].single.mapping.name == "dla0"


def test_there_is_no_gain_where_transitions_cost_more_than_they_save():
    found = gains(two_groups([[1, 3], [1, 1]], [[3, 2], [5, 1]], transition=9.0))
    assert [each.share for each in found.values()] == [0, 0, 0]
    assert all(each.mapping.transitions == 0 for each in found.values())


def test_the_gain_is_missing_where_no_single_accelerator_runs_the_network():
    costs = two_groups([[1, np.inf], [np.inf, 1]], [[1, np.inf], [np.inf, 1]])
    found = gains(costs)
    assert math.isnan(found[0.5].share)
    assert found[0.5].mapping.mapping.name == "tensor_to_1_dla0"
