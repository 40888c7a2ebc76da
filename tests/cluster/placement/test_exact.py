import itertools

import pytest

from cluster.placement.exact import most_hosted
from cluster.placement.nodes import Application, Rules
from cluster.placement.policies import depth_first, place_all
from cluster.placement.state import ClusterState, Spot
from cluster.placement.together import place_together
from envs.errors import OptionError
from tests.cluster.placement.worlds import SMALL, applications, boards

pytest.importorskip("ortools")


def enumerated(rules: Rules, wanted: list[Application]) -> int:
    """Try every engine, or none, for each application on one board."""
    best = 0
    for choice in itertools.product(range(-1, 3), repeat=len(wanted)):
        state = ClusterState(boards(1), rules)
        for application, engine in zip(wanted, choice, strict=True):
            if 0 <= engine < len(state.nodes[0].kind.engines[application.network]):
                if not state.fits_at(application, 0)[engine]:
                    break
                state.add(application, [Spot(0, engine)])
        else:
            best = max(best, len(state.spots))
    return best


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_the_optimum_is_that_of_all_placements(late: bool, shared: bool) -> None:
    rules = Rules(late=late, shared_engines=shared)
    wanted = [*applications(3, rate_ips=30.0), *applications(2, "b", 15.0, 0.3)]
    found = most_hosted(ClusterState(boards(1), rules), wanted)
    assert found is not None
    assert found.hosted == found.bound == enumerated(rules, wanted)


def test_ours_is_at_most_the_optimum_and_close() -> None:
    wanted = [*applications(20, rate_ips=30.0, limit_s=0.1), *applications(8, "b", 10.0, 0.3)]
    rules = Rules(late=False)
    state = ClusterState([*boards(2), *boards(1, SMALL)], rules)
    place_together(state, wanted, rounds=100)
    found = most_hosted(state, wanted, 20.0)
    assert found is not None
    assert found.hosted - 1 <= len(state.spots) <= found.bound
    ibis = ClusterState(state.nodes, rules)
    place_all(ibis, wanted, depth_first)
    assert len(ibis.spots) <= len(state.spots)


def test_replicas_are_refused() -> None:
    with pytest.raises(OptionError, match="one replica"):
        most_hosted(ClusterState(boards(2), Rules()), applications(1, replicas=2))
