import pytest

from cluster.placement.nodes import Application, Rules
from cluster.placement.ours import OneMore
from cluster.placement.policies import place_all
from cluster.placement.reserving import Reserving, place_reserving
from cluster.placement.state import ClusterState
from envs.errors import OptionError
from tests.cluster.placement.worlds import applications, boards

MEAN = Rules(late=False)

#: One board's memory, 800 MiB, holds eight of `a`, or two of `b` and two of `a`.
HEAVY, LIGHT = applications(6, "b", 1.0), applications(8, "a", 1.0)


def test_light_ones_that_are_expected_keep_their_room() -> None:
    wanted = [*HEAVY, *LIGHT]
    greedy = ClusterState(boards(1), MEAN)
    place_all(greedy, wanted, OneMore(greedy, wanted))
    state = ClusterState(boards(1), MEAN)
    left = place_reserving(state, wanted, forecast=wanted)
    assert len(greedy.spots) == 4
    assert {each.network for each in left} == {"b"}
    assert len(state.spots) == 8
    assert not list(state.broken())


def test_seats_that_nobody_takes_are_given_up() -> None:
    # The forecast is wrong: light ones are expected, and only heavy ones come.
    state = ClusterState(boards(1), MEAN)
    left = place_reserving(state, applications(8, "b", 1.0), forecast=LIGHT)
    assert len(state.spots) == 2
    assert len(left) == 6


def test_a_class_nobody_expected_takes_the_room_of_one_that_costs_more() -> None:
    state = ClusterState(boards(1), MEAN)
    reserving = Reserving(state, applications(40, "b", 1.0))
    assert all(reserving.host(each) for each in applications(4, "a", 1.0))
    assert not list(state.broken())


def test_replicas_and_a_cluster_in_use_are_refused() -> None:
    state = ClusterState(boards(2), MEAN)
    with pytest.raises(OptionError, match="with one replica"):
        Reserving(state, applications(1, replicas=2))
    reserving = Reserving(state, applications(2))
    with pytest.raises(OptionError, match="two has several replicas"):
        reserving.host(Application("two", "a", 1.0, 0.2, replicas=2))
    assert reserving.host(applications(1)[0])
    with pytest.raises(OptionError, match="on an empty cluster"):
        Reserving(state, applications(1))
