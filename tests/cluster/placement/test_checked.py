from cluster.placement.checked import check_nodes
from cluster.placement.nodes import Rules
from cluster.placement.policies import depth_first, place_all
from cluster.placement.state import ClusterState
from tests.cluster.placement.worlds import applications, boards


def at_most(most: int, node: int) -> object:
    """Return a measurement of nodes that finds everybody late above so many on one node."""

    def late(state: ClusterState, asked: int) -> list[str]:
        hosted = list(state.hosted(asked))
        return hosted if asked == node and len(hosted) > most else []

    return late


def test_what_is_late_moves_to_another_node() -> None:
    state = ClusterState(boards(2), Rules(late=False))
    place_all(state, applications(4), depth_first)
    assert len(state.hosted(0)) == 4
    checked = check_nodes(state, at_most(2, 0), depth_first)  # type: ignore[arg-type]
    assert (len(state.hosted(0)), len(state.hosted(1))) == (2, 2)
    assert len(checked.moved) == 2
    assert not checked.left
    # Three windows of the first node, none of the empty second one, and two after the moves.
    assert checked.windows == 5


def test_what_is_late_everywhere_is_not_hosted() -> None:
    state = ClusterState(boards(1), Rules(late=False))
    place_all(state, applications(4), depth_first)
    checked = check_nodes(state, at_most(1, 0), depth_first)  # type: ignore[arg-type]
    assert len(state.spots) == 1
    assert len(checked.left) == 3
