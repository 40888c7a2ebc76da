import pytest

from cluster.placement.nodes import Application, Engine, NodeKind, Place, Rules
from cluster.placement.ours import Goal, OneMore
from cluster.placement.policies import (
    best_fit,
    breadth_first,
    depth_first,
    first_fit,
    host,
    knapsack,
    place_all,
    worst_fit,
)
from cluster.placement.state import ClusterState, Spot
from cluster.placement.together import place_together
from cluster.simulate.plan import simulated_stays
from envs.errors import OptionError
from tests.cluster.placement.worlds import BOARD, SMALL, applications, boards

MEAN = Rules(late=False)


def nodes_of(state: ClusterState) -> list[int]:
    return [spots[0].node for spots in state.spots.values()]


def test_fits_go_by_memory_alone() -> None:
    # 800 of 1000 MiB: eight of `a` on a node, whatever they ask for.
    everything = applications(17, rate_ips=90.0)
    for policy, expected in (
        (first_fit, [0] * 8 + [1] * 8),
        (best_fit, [0] * 8 + [1] * 8),
        (worst_fit, [0, 1] * 8),
    ):
        state = ClusterState(boards(2), MEAN)
        left = place_all(state, everything, policy)
        assert nodes_of(state) == expected
        assert [each.name for each in left] == ["a-16"]
        assert list(state.broken()), "loads were not looked at"


def test_the_knapsack_takes_small_ones_first() -> None:
    state = ClusterState(boards(1), MEAN)
    left = knapsack(state, [*applications(2, "b"), *applications(6)])
    assert [each.name for each in left] == ["b-1", "b-0"] or len(left) == 2
    assert all(name.startswith("a") for name in state.spots)


def test_depth_first_fills_nodes_and_breadth_first_spreads() -> None:
    for policy, expected in ((depth_first, [0, 0, 0]), (breadth_first, [0, 1, 2])):
        state = ClusterState(boards(3), MEAN)
        assert not place_all(state, applications(3), policy)
        assert nodes_of(state) == expected


def test_ibis_goes_to_the_node_that_has_the_network_where_engines_are_shared() -> None:
    for policy in (depth_first, breadth_first):
        state = ClusterState(boards(3), Rules(late=False, shared_engines=True))
        state.add(applications(1, "b")[0], [Spot(1, 0)])
        state.add(applications(1)[0], [Spot(2, 0)])
        host(state, Application("more", "a", 20.0, 0.2), policy)
        assert state.spots["more"][0].node == 2


@pytest.mark.parametrize("policy", [depth_first, breadth_first])
def test_policies_that_know_queues_break_no_rule(policy: object) -> None:
    state = ClusterState(boards(2), MEAN)
    left = place_all(state, applications(40), policy)  # type: ignore[arg-type]
    assert left
    assert not list(state.broken())


def test_ours_puts_networks_where_they_run_best() -> None:
    # `a` is four times slower on the small node than on a board; `c` is as fast there.
    engine = Engine("gpu", 1, 0.01, 50.0)
    fast = NodeKind("fast", (Place("gpu", True),), 1000.0, {"a": (engine,), "c": (engine,)})
    slow = NodeKind(
        "slow", (Place("gpu", True),), 1000.0,
        {"a": (Engine("gpu", 1, 0.04, 50.0),), "c": (engine,)},
    )  # fmt: skip
    nodes = [*boards(1, slow), *boards(1, fast)]
    mixed = [*applications(1), *applications(1, "c")]
    state = ClusterState(nodes, MEAN)
    assert not place_all(state, mixed, OneMore(state, mixed))
    assert {name: spots[0].node for name, spots in state.spots.items()} == {"a-0": 1, "c-0": 0}


def test_ours_gathers_requests_where_limits_allow_it() -> None:
    # Batches of four take twice as long as one: more fit, but only with time to wait.
    patient, hasty = (
        [Application(f"x{number}", "a", 60.0, limit_s) for number in range(40)]
        for limit_s in (1.0, 0.04)
    )
    hosted = []
    for wanted in (patient, hasty):
        state = ClusterState(boards(4), MEAN)
        place_together(state, wanted, rounds=5)
        engines = {spots[0].engine for spots in state.spots.values()}
        hosted.append((len(state.spots), 1 in engines))
    assert hosted[0][1]
    assert not hosted[1][1]
    assert hosted[0][0] > hosted[1][0]


def test_all_at_once_respects_priority() -> None:
    wanted = [*applications(30), *applications(4, "b", priority=1)]
    state = ClusterState(boards(1), MEAN)
    left = place_together(state, wanted, rounds=20)
    assert left
    assert sum(name.startswith("b") for name in state.spots) == 2, "memory holds two of them"
    assert {each.network for each in left} == {"a", "b"}


def test_power_may_come_first() -> None:
    watts = []
    for goal in Goal:
        state = ClusterState(boards(2), MEAN)
        place_all(state, applications(4), OneMore(state, applications(4), goal))
        watts.append(state.watts())
    # On a DLA a request takes half the energy of the GPU's.
    assert watts[1] == pytest.approx(4 * 20 * 0.05)
    assert watts[1] <= watts[0]


def test_a_sample_of_nodes_finds_room_where_there_is_some() -> None:
    state = ClusterState([*boards(1), *boards(30, SMALL)], MEAN)
    policy = OneMore(state, applications(1), sample=2)
    everything = applications(200)
    left = place_all(state, everything, policy)
    complete = ClusterState(state.nodes, MEAN)
    assert len(left) == len(place_all(complete, everything, OneMore(complete, applications(1))))
    assert not list(state.broken())


def test_replicas_stand_on_different_nodes_or_not_at_all() -> None:
    state = ClusterState(boards(3), MEAN)
    assert host(state, Application("three", "a", 60.0, 0.2, replicas=3), depth_first)
    assert sorted(spot.node for spot in state.spots["three"]) == [0, 1, 2]
    before = [kind.load.copy() for kind in state.kinds]
    assert not host(state, Application("four", "a", 60.0, 0.2, replicas=4), depth_first)
    assert all((kind.load == old).all() for kind, old in zip(state.kinds, before, strict=True))


def test_what_is_taken_away_leaves_nothing_behind() -> None:
    for shared in (False, True):
        state = ClusterState(boards(1), Rules(late=False, shared_engines=shared))
        state.add(applications(1)[0], [Spot(0, 0)])
        load, used, tight = (
            getattr(state.kinds[0], name).copy() for name in ("load", "used_mib", "tight")
        )
        hasty = Application("hasty", "a", 10.0, 0.05)
        state.add(hasty, [Spot(0, 0)])
        assert state.kinds[0].used_mib[0] == (100.0 if shared else 200.0)
        assert state.remove("hasty") == hasty
        assert state.kinds[0].load == pytest.approx(load)
        assert state.kinds[0].used_mib == pytest.approx(used)
        assert (state.kinds[0].tight == tight).all()


def test_limits_of_the_percentile_are_kept_by_single_requests() -> None:
    rules = Rules(reserve=0.1)
    wanted = [*applications(30, limit_s=0.15), *applications(10, "b", 5.0, 0.4)]
    state = ClusterState(boards(3), rules)
    assert place_together(state, wanted, rounds=20), "more would like to be hosted"
    stays = simulated_stays(state, 60.0)
    assert stays.keys() == state.spots.keys()
    late = [name for name, stay in stays.items() if not stay.keeps(state.applications[name], True)]
    assert not late


def test_wrong_data_is_refused() -> None:
    with pytest.raises(OptionError, match="application x: rate_ips and limit_s"):
        Application("x", "a", 0.0, 1.0)
    with pytest.raises(OptionError, match="has engines on dla1: no such place"):
        NodeKind("k", BOARD.places, 1.0, {"a": (Engine("dla1", 1, 1.0, 1.0),)})
