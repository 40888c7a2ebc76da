"""Odd clusters, what is refused, and the least power by trying everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluster.placement.exact import most_hosted
from cluster.placement.nodes import Application, Engine, Node, NodeKind, Place, Rules
from cluster.placement.ours import Goal, OneMore
from cluster.placement.policies import breadth_first, depth_first, first_fit, place_all
from cluster.placement.reserving import place_reserving
from cluster.placement.state import ClusterState, Spot
from cluster.placement.together import place_together
from envs.errors import OptionError
from tests.cluster.placement.worlds import BOARD, applications, boards


@pytest.mark.parametrize("nodes", [0, 1])
def test_without_nodes_or_applications_nothing_is_placed(nodes: int) -> None:
    for wanted in (applications(1) if not nodes else [], applications(1, "nobody's")):
        for policy in (first_fit, depth_first, breadth_first):
            state = ClusterState(boards(nodes), Rules())
            assert place_all(state, wanted, policy) == wanted
        for goal in Goal:
            assert place_together(ClusterState(boards(nodes), Rules()), wanted, goal) == wanted
        found = most_hosted(ClusterState(boards(nodes), Rules()), wanted)
        assert found is not None
        assert (found.hosted, found.bound) == (0, 0)
    assert place_reserving(ClusterState(boards(nodes), Rules()), applications(1), []) == (
        [] if nodes else applications(1)
    )


def test_replicas_need_as_many_nodes() -> None:
    state = ClusterState(boards(2), Rules())
    wanted = [Application("three", "a", 1.0, 0.2, replicas=3), Application("one", "a", 1.0, 0.2)]
    assert place_together(state, wanted) == wanted[:1]
    assert list(state.spots) == ["one"]


def test_a_limit_that_nobody_keeps_is_not_kept_at_a_tiny_rate() -> None:
    wanted = [Application("never", "a", 1e-12, 1e-9)]
    for late in (False, True):
        state = ClusterState(boards(1), Rules(late=late))
        assert place_all(state, wanted, depth_first) == wanted
        assert OneMore(state, wanted)(state, wanted[0]) is None


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Application("x", "a", math.inf, 0.1), "above zero"),
    (lambda: Application("x", "a", 1.0, math.nan), "above zero"),
    (lambda: Application("x", "a", 1.0, 0.1, replicas=1.5), "whole"),  # type: ignore[arg-type]
    (lambda: Rules(load=1.5), "load=1.5"),
    (lambda: Rules(reserve=1.0), "reserve=1.0"),
    (lambda: Rules(network_s=math.nan), "network_s=nan"),
    (lambda: Engine("gpu", 0, 0.1, 1.0), "batch=0"),
    (lambda: Engine("gpu", 1, math.nan, 1.0), "batch_s=nan"),
    (lambda: NodeKind("k", (Place("gpu", True), Place("gpu", True)), 1.0, {}), "same name"),
    (lambda: replace(BOARD, memory_mib=math.nan), "memory_mib"),
    (
        lambda: ClusterState(
            [Node("n", BOARD), Node("m", replace(BOARD, memory_mib=1.0))], Rules()
        ),
        "kinds that differ",
    ),
    (
        lambda: place_all(ClusterState(boards(1), Rules()), 2 * applications(1), first_fit),
        "name a-0",
    ),
]


@pytest.mark.parametrize(("make", "words"), WRONG)
def test_what_cannot_be_is_refused_in_one_sentence(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_least_power_is_found_by_trying_everything() -> None:
    for seed in (1, 2, 23):  # where the least for each application is not the least for all
        random = np.random.default_rng(seed)
        nodes = [Node(f"n{number}", _drawn_kind(random, number)) for number in range(2)]
        wanted = [
            Application(f"x{number}", "ab"[number % 2], random.uniform(5, 30), 0.25)
            for number in range(5)
        ]
        state = ClusterState(nodes, Rules())
        left = place_together(state, wanted, Goal.POWER)
        best = _best(ClusterState(nodes, Rules()), wanted)
        assert (len(left), state.watts()) == (best[0], pytest.approx(best[1]))


def _drawn_kind(random: np.random.Generator, number: int) -> NodeKind:
    engines = {}
    for network in "ab":
        size_s = random.uniform(0.004, 0.03)
        engines[network] = tuple(
            Engine(place, 1, size_s * slow, 300.0, energy_j=size_s * slow * watts)
            for place, slow, watts in (
                ("gpu", 1.0, random.uniform(5, 20)),
                ("dla0", random.uniform(1, 4), random.uniform(2, 8)),
            )
        )
    return NodeKind(f"k{number}", (Place("gpu", True), Place("dla0", False)), 2000.0, engines)


def _best(state: ClusterState, wanted: Sequence[Application]) -> tuple[int, float]:
    """Return how many are left out and the power of the best placement, by trying all."""
    if not wanted:
        return 0, state.watts()
    first, rest = wanted[0], wanted[1:]
    left, watts = _best(state, rest)
    found = [(left + 1, watts)]
    for node in range(len(state.nodes)):
        for engine in np.flatnonzero(state.fits_at(first, node)):
            state.add(first, [Spot(node, int(engine))])
            found.append(_best(state, rest))
            state.remove(first.name)
    return min(found)
