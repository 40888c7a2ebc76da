from cluster.placement.failures import node_lost
from cluster.placement.nodes import Application, Rules
from cluster.placement.policies import depth_first, host, place_all
from cluster.placement.state import ClusterState, Spot
from tests.cluster.placement.worlds import applications, boards

MEAN = Rules(late=False)


def test_applications_of_a_lost_node_move_and_nobody_else() -> None:
    state = ClusterState(boards(3), MEAN)
    place_all(state, applications(6), depth_first)
    before = dict(state.spots)
    on_it = set(state.hosted(0))
    after = node_lost(state, 0, depth_first)
    assert set(after.moved) == on_it
    assert not after.evicted
    assert not after.lost
    assert all(state.spots[name] == before[name] for name in before.keys() - on_it)
    assert not any(spot.node == 0 for spots in state.spots.values() for spot in spots)
    assert not list(state.broken())


def test_less_important_ones_make_room() -> None:
    state = ClusterState(boards(2), MEAN)
    important = applications(2, "b", priority=5)
    place_all(state, important, depth_first)
    place_all(state, [Application(f"low{n}", "b", 20.0, 0.2) for n in range(2)], depth_first)
    assert {name: spots[0].node for name, spots in state.spots.items()} == {
        "b-0": 0, "b-1": 0, "low0": 1, "low1": 1,
    }  # fmt: skip
    after = node_lost(state, 0, depth_first)
    assert set(after.moved) == {"b-0", "b-1"}
    assert set(after.evicted) == {"low0", "low1"}
    assert not after.lost
    assert not list(state.broken())


def test_equally_important_ones_do_not_make_room() -> None:
    state = ClusterState(boards(2), MEAN)
    place_all(state, applications(4, "b"), depth_first)
    after = node_lost(state, 0, depth_first)
    assert after == ((), (), ("b-0", "b-1"))
    assert set(state.spots) == {"b-2", "b-3"}


def test_a_replica_that_stays_keeps_its_node() -> None:
    state = ClusterState(boards(3), MEAN)
    assert host(state, Application("two", "a", 40.0, 0.2, replicas=2), depth_first)
    kept = state.spots["two"][1]
    after = node_lost(state, 0, depth_first)
    assert after.moved == ("two",)
    assert kept in state.spots["two"]
    assert sorted(spot.node for spot in state.spots["two"]) == [1, 2]


def test_one_that_made_room_goes_where_there_is_some() -> None:
    # Load of GPUs: `wide` takes 0.7; node 1 has two of `low`, 0.6, and node 2 one, 0.3.
    state = ClusterState(boards(3), MEAN)
    wide = Application("wide", "b", 35.0, 0.2, priority=5)
    state.add(wide, [Spot(0, 0)])
    for number, node in enumerate((1, 1, 2)):
        state.add(Application(f"low{number}", "b", 15.0, 0.2), [Spot(node, 0)])
    after = node_lost(state, 0, depth_first)
    assert set(after.moved) == {"wide", "low2"}
    assert not after.evicted
    assert state.spots["wide"] == (Spot(2, 0),)
    assert state.spots["low2"] == (Spot(2, 1),)
    assert not list(state.broken())


def test_other_replicas_serve_on_where_one_finds_no_room() -> None:
    state = ClusterState(boards(2), MEAN)
    assert host(state, Application("two", "a", 40.0, 0.2, replicas=2), depth_first)
    after = node_lost(state, 0, depth_first)
    assert after.lost == ("two",)
    assert [spot.node for spot in state.spots["two"]] == [1]


def test_nobody_goes_for_nothing_where_others_make_room() -> None:
    # `wide` needs the memory of one that serves `b`; the least important serves `a`, of 100 MiB.
    state = ClusterState(boards(2), MEAN)
    wide = Application("wide", "b", 20.0, 0.2, priority=5)
    state.add(wide, [Spot(0, 0)])
    state.add(Application("small", "a", 5.0, 0.2), [Spot(1, 2)])
    for number in range(2):
        state.add(Application(f"low{number}", "b", 10.0, 0.2, priority=1), [Spot(1, number)])
    after = node_lost(state, 0, depth_first)
    assert after.moved == ("wide",)
    assert after.evicted == ("low0",)
    assert state.spots["small"] == (Spot(1, 2),)
