"""Tuners that were made for whole accelerators, in a space with mappings."""

import numpy as np
import pytest

from envs.arrays import Placements
from envs.problems.draw import draw_problem
from envs.problems.draw_options import DrawOptions
from tuner.evaluation.cases import Case
from tuner.evaluation.simulated import simulated_case
from tuner.search.registry import SEARCHES, make_search

MAPPINGS = (("dla0_to_25_tensor", "dla1_to_25_tensor"), ("dla0_to_3_tensor",))


@pytest.fixture(scope="module")
def case() -> Case:
    options = DrawOptions(
        boards=["orin_nx_16"],
        networks=["squeezenet1_1"],
        modes=["MAXN"],
        split="held_out",
        tenants=[0.0, 1.0],
    )
    drawn = draw_problem(options, np.random.default_rng(4)).with_mappings(MAPPINGS)
    return simulated_case(drawn, np.random.default_rng(0), (4,))


def asked(name: str, case: Case, count: int = 3) -> Placements:
    """Return the first configurations that a search measures, the default first."""
    search, measure, found = make_search(name, case.problem), case.session(0), []
    for _ in range(count):
        configuration = search.ask()
        search.tell(configuration, measure(configuration))  # it refuses invalid ones
        found.append(configuration.array())
    return np.array(found)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_every_search_measures_valid_configurations(name: str, case: Case) -> None:
    found = asked(name, case)
    if name in ("static_partition", "round_robin", "vendor_gpu", "vendor_gpu_dla"):
        assert not found[1:, :, 4:].any()  # after the default they place whole networks
