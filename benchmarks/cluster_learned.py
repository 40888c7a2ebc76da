"""Ask the learned policy what boards can do that differ from the device model, then place by it.

Every kind of Orin board of the cluster differs from the model as `envs.problems` draws it: its
parameters, each engine, and for three boards in four a misfit (engines that depart, an accelerator
that is far worse, parameters twice as uncertain). A profile of a network on a kind of board comes
from the model alone; from up to eight windows that the policy, or the rule without training,
chooses; or from the whole truth, which nobody has. Applications are then placed by it. What counts
are those that keep their limit by single requests with true times, and by the true model of the
whole node. Nodes may also be checked together: each is measured with everybody on it, and what is
late moves. All is simulated.

Example:
    python -m benchmarks.cluster_learned
    python -m benchmarks.cluster_learned --worlds 1 --nodes 4 --requests 500
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks.cluster_device_model import late_together
from benchmarks.cluster_truths import BoardTruth, TrueBoards
from benchmarks.cluster_worlds import (
    ORIN_BOARDS,
    ORIN_NETWORKS,
    World,
    careful,
    orin_world,
)
from benchmarks.figures import Figure, figure, parser, report
from cluster.placement.checked import check_nodes
from cluster.placement.nodes import Node, NodeKind
from cluster.placement.ours import OneMore
from cluster.placement.state import ClusterState
from cluster.placement.together import place_together
from cluster.profiles import Point, loss_beside_others, node_kind
from cluster.profiles.boards import FRONT_END_MIB, FRONT_END_S
from cluster.profiles.learned import Tried, contexts_after, engine_points, measured_by
from cluster.simulate.plan import simulated_stays
from envs.belief.risk import parse_risk
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import Objective
from tuner.console import table
from tuner.folders import reference_bundle
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.protocol import Tuner

#: Windows of a network on a kind of board, at most.
MEASUREMENTS = 8

#: The limit on p99 while the policy measures [ms], the middle one of the applications'.
LIMIT_MS = 100.0

#: Standard deviations of what is believed of times that are planned with.
SIGMAS = 1.0

#: Draws of the model's belief, where nothing was measured.
DRAWS = 320

#: Rounds of `place_together`.
ROUNDS = 200

MODEL, CAREFUL = "the model alone", "the model alone, a deviation slower"
RULE, POLICY, TRUTH = "the rule measures", "the policy measures", "the whole truth"
TOGETHER = ", nodes checked together"

#: What is believed of a network on a board, and what was measured of it.
Believed = tuple[Contexts, Tried]
Believe = Callable[[BoardTruth, str], Believed]


def believed_by(make: Callable[[Problem], Tuner], truth: BoardTruth, network: str) -> Believed:
    """Return what is believed after a tuner has measured a network on a board a few times."""
    model = truth.model([network])
    objective = Objective((LIMIT_MS * (3 if network == "ssd_resnet34" else 1),))
    tried = measured_by(make, model, objective, truth.session(network), MEASUREMENTS)
    return contexts_after(model, tried), tried


def kinds_by(
    boards: TrueBoards, believe: Believe, sigmas: float
) -> tuple[list[NodeKind], list[int]]:
    """Return what the kinds of nodes can do as somebody believes, and the windows of each."""
    kinds, windows = [], []
    for name, truth in boards.items():
        points: list[Point] = []
        loss = {}
        for network in ORIN_NETWORKS:
            model = truth.model([network])
            contexts, tried = believe(truth, network)
            windows.append(len(tried))
            points += engine_points(model, contexts, sigmas, tried)
            loss[network] = _mean_loss(model, contexts)
        kinds.append(
            node_kind(
                name, model.space, points, sum(truth.machine.idle_w), FRONT_END_S,
                FRONT_END_MIB, loss,
            )
        )  # fmt: skip
    return kinds, windows


def _mean_loss(model: DeviceModel, contexts: Contexts) -> float:
    few = contexts.take(np.arange(min(len(contexts), 32)))
    return loss_beside_others(model, few)


def placed_by(kinds: Sequence[NodeKind], world: World, seed: int) -> ClusterState:
    """Return the placement of a world's applications where its nodes are of these kinds."""
    by_name = {kind.name: kind for kind in kinds}
    nodes = [Node(each.name, by_name[each.kind.name]) for each in world.nodes]
    state = ClusterState(nodes, careful(world))
    place_together(state, world.draw(world.count, seed), rounds=ROUNDS)
    return state


def broken_at(
    state: ClusterState, boards: TrueBoards, true_kinds: Sequence[NodeKind], seconds: float,
    seed: int, node: int,
) -> list[str]:  # fmt: skip
    """Return the applications of a node whose limit is broken on the true board.

    It is broken by single requests with the true times, or by the true model of the whole node.

    Args:
        state: of the cluster.
        boards: what is true.
        true_kinds: the same as kinds of nodes.
        seconds: of requests.
        seed: of their arrivals.
        node: number of the node.
    """
    kind = next(each for each in true_kinds if each.name == state.nodes[node].kind.name)
    alone = ClusterState([Node(state.nodes[node].name, kind)], state.rules)
    for name in state.hosted(node):
        (spot,) = state.spots[name]
        alone.add(state.applications[name], [spot._replace(node=0)])
    late = late_together(state, node, boards.contexts)
    stays = simulated_stays(alone, seconds, seed)
    return [
        name
        for name, stay in stays.items()
        if name in late or not stay.keeps(state.applications[name], state.rules.late)
    ]


def compared(seed: int, nodes: int, requests: int) -> dict[str, tuple[int, int, float, int]]:
    """Return by profile: placed, kept, windows of a profile, windows of whole nodes."""
    boards = TrueBoards.drawn(ORIN_BOARDS, seed)
    bundle, risk = load_bundle(reference_bundle()), parse_risk("bold")

    def told(make: Callable[[Problem], Tuner]) -> Believe:
        return partial(believed_by, make)

    def prior(truth: BoardTruth, network: str) -> Believed:
        return truth.model([network]).drawn(np.random.default_rng(0), DRAWS), ()

    ways: dict[str, tuple[Believe, float]] = {
        MODEL: (lambda truth, network: (truth.model([network]).nominal(), ()), 0.0),
        CAREFUL: (prior, SIGMAS),
        RULE: (told(lambda problem: ExpectedGainTuner(problem, risk)), SIGMAS),
        POLICY: (told(lambda problem: LearnedTuner(bundle, problem, risk)), SIGMAS),
        TRUTH: (lambda truth, network: (truth.contexts([network]), ()), 0.0),
    }
    kinds = {name: kinds_by(boards, believe, sigmas) for name, (believe, sigmas) in ways.items()}
    true_kinds = kinds[TRUTH][0]
    world = orin_world(nodes, seed, true_kinds)
    applications = world.draw(world.count, seed)
    seconds = requests / float(np.mean([each.rate_ips for each in applications]))
    found = {}
    for name, (own, windows) in kinds.items():
        state = placed_by(own, world, seed)

        def broken(state: ClusterState, node: int, arrivals: int = 1) -> list[str]:
            return broken_at(state, boards, true_kinds, seconds, arrivals, node)

        def kept(state: ClusterState) -> int:
            late = (broken(state, node, arrivals=0) for node in range(len(state.nodes)))
            return len(state.spots) - sum(map(len, late))

        found[name] = len(state.spots), kept(state), float(np.mean(windows)), 0
        checked = check_nodes(state, broken, OneMore(state, applications))
        found[name + TOGETHER] = (
            len(state.spots), kept(state), float(np.mean(windows)), checked.windows,
        )  # fmt: skip
    return found


def figures_of(worlds: int, nodes: int, requests: int) -> list[Figure]:
    """Print a table over several drawn worlds, and return its figures."""
    runs = [compared(seed, nodes, requests) for seed in range(worlds)]
    mean = {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}
    print(
        f"{nodes} mixed Orin boards that differ from the model, {worlds} drawn worlds (simulated)"
    )
    table(
        ["profile", "placed", "kept their limits", "windows a profile", "windows of nodes"],
        [[name, *(f"{value:.1f}" for value in values)] for name, values in mean.items()],
    )

    def gain(over: str, name: str = POLICY + TOGETHER) -> float:
        return float(100 * (mean[name][1] / max(mean[over][1], 1.0) - 1))

    def broken(name: str) -> float:
        return float(100 * (1 - mean[name][1] / mean[name][0]))

    return [
        figure("profiles by the policy: kept above profiles by the model alone",
               gain(MODEL, POLICY), "%"),
        figure("profiles by the policy: kept above profiles by the rule", gain(RULE, POLICY), "%"),
        figure("profiles by the policy, nodes checked: kept above the model alone, nodes checked",
               gain(MODEL + TOGETHER), "%"),
        figure("profiles by the policy, nodes checked: kept below the whole truth",
               -gain(TRUTH), "%"),
        figure("profiles by the model alone: broken limits", broken(MODEL), "%"),
        figure("profiles by the policy: broken limits", broken(POLICY), "%"),
        figure("profiles by the policy, nodes checked: broken limits", broken(POLICY + TOGETHER),
               "%"),
        figure("windows of a network on a kind of board", float(mean[POLICY][2]), ""),
    ]  # fmt: skip


def main() -> int:
    """Print the table and the figures."""
    options = parser(__doc__)
    options.add_argument("--worlds", type=int, default=3, help="draws of what is true")
    options.add_argument("--nodes", type=int, default=10, help="boards of the cluster")
    options.add_argument("--requests", type=int, default=2000, help="of an average application")
    given = options.parse_args()
    return report(figures_of(given.worlds, given.nodes, given.requests), given.json)


if __name__ == "__main__":
    sys.exit(main())
