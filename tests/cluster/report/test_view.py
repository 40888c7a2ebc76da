import math

import pytest

from cluster.placement.nodes import Application, Rules
from cluster.placement.policies import depth_first, place_all
from cluster.placement.state import ClusterState, Spot
from cluster.report.page import report_page, verdict
from cluster.report.view import fullest, view_of
from cluster.simulate.plan import Stay
from tests.cluster.placement.worlds import SMALL, applications, boards

MEAN = Rules(late=False)


def test_bars_have_the_shares_of_places_and_memory() -> None:
    state = ClusterState(boards(2), MEAN)
    state.add(applications(1, "a", 20.0)[0], [Spot(0, 0)])  # 10 ms on the GPU, 100 of 1000 MiB
    state.add(applications(1, "b", 10.0)[0], [Spot(0, 1)])  # 40 ms on the DLA, 300 MiB
    view = view_of(state, [])
    (node,) = view.nodes
    gpu, dla, memory = node.bars
    assert gpu.parts == (("a-0", pytest.approx(0.2)),)
    assert dla.parts == (("b-0", pytest.approx(0.4)),)
    assert memory.used == pytest.approx(0.4)
    assert (gpu.limit, memory.limit) == (0.8, 0.8)
    assert memory.full == pytest.approx(0.5)
    (kind,) = view.kinds
    assert (kind.nodes, kind.used, kind.hosted) == (2, 1, 2)
    assert kind.load == pytest.approx({"gpu": 0.1, "dla0": 0.2})
    assert verdict(view) == "Everything is hosted, and nobody is late."


def test_a_shared_engine_counts_once() -> None:
    state = ClusterState(boards(1), Rules(late=False, shared_engines=True))
    for each in applications(2):
        state.add(each, [Spot(0, 0)])
    assert view_of(state, []).nodes[0].bars[-1].used == pytest.approx(0.1)


def test_who_is_late_comes_first() -> None:
    state = ClusterState(boards(2), MEAN)
    for number, each in enumerate(applications(2)):
        state.add(each, [Spot(number, 0)])
    took = {"a-0": Stay(0.1, 0.1, 9), "a-1": Stay(0.3, 0.3, 9)}
    view = view_of(state, applications(1, "b"), took, most_nodes=1)
    assert [each.application.name for each in view.hosted] == ["a-1", "a-0"]
    assert [each.application.name for each in view.late] == ["a-1"]
    assert [(each.name, each.late) for each in view.nodes] == [("node-1", ("a-1",))]
    assert verdict(view) == "1 application found no room, and 1 application is late."
    unknown = view_of(state, [])
    assert all(math.isnan(each.p99_s) for each in unknown.hosted)
    assert not unknown.late


def test_a_place_that_is_too_full_is_late_where_no_requests_tell() -> None:
    state = ClusterState(boards(1), MEAN)
    state.add(Application("greedy", "a", 90.0, 0.2), [Spot(0, 0)])
    state.add(applications(1)[0], [Spot(0, 2)])
    assert [each.application.name for each in view_of(state, []).late] == ["greedy"]
    assert not view_of(state, [], {"greedy": Stay(0.1, 0.1, 9)}).late


def test_the_page_of_many_nodes_stays_small() -> None:
    nodes = [*boards(400), *boards(200, SMALL)]
    state = ClusterState(nodes, MEAN)
    left = place_all(state, applications(700), depth_first)
    assert len(fullest(state, 30)) == 30
    view = view_of(state, left)
    assert len(view.nodes) == 60
    page = report_page(view, "many <i>", "simulated", "p99", {})
    assert len(page) < 200_000
    assert "many &lt;i&gt;" in page
    assert "less full are not drawn" in page
    assert "a-0" in page
