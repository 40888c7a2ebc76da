"""Compare policies that place applications on a cluster of boards, with requests one by one.

Three clusters have the values of the paper's workloads (Ibis, arXiv 2201.07312, umassos/ibis), and
one mixes Orin boards by the device model. What is counted are applications whose limit was kept by
simulated requests. Memory-only policies place more than that. All is simulated; no cluster ran.

Example:
    python -m benchmarks.cluster_placement
    python -m benchmarks.cluster_placement --seeds 1 --requests 500 --scale 1000
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.cluster_device_model import device_model_figures
from benchmarks.cluster_scale import scale
from benchmarks.cluster_worlds import World, careful, orin_kinds, orin_world, paper_world
from benchmarks.figures import Figure, figure, parser, report
from cluster.placement.exact import most_hosted
from cluster.placement.nodes import Application
from cluster.placement.ours import OneMore
from cluster.placement.policies import (
    best_fit,
    breadth_first,
    depth_first,
    first_fit,
    knapsack,
    place_all,
    worst_fit,
)
from cluster.placement.reserving import place_reserving
from cluster.placement.state import ClusterState
from cluster.placement.together import place_together
from cluster.simulate.plan import simulated_stays
from tuner.console import table

Scheme = Callable[[ClusterState, Sequence[Application]], list[Application]]

#: What is compared: by memory alone, as Ibis does it, and ours.
MEMORY: dict[str, Scheme] = {
    "memory: knapsack": knapsack,
    "memory: first fit": lambda state, all_: place_all(state, all_, first_fit),
    "memory: best fit": lambda state, all_: place_all(state, all_, best_fit),
    "memory: worst fit": lambda state, all_: place_all(state, all_, worst_fit),
}
IBIS: dict[str, Scheme] = {
    "Ibis: depth first": lambda state, all_: place_all(state, all_, depth_first),
    "Ibis: breadth first": lambda state, all_: place_all(state, all_, breadth_first),
}
#: The same where all applications are known and the lightest come first, which Ibis does not do.
LIGHT_FIRST: dict[str, Scheme] = {
    "Ibis: depth first, light ones first": lambda state, all_: place_all(
        state, _light_first(state, all_), depth_first
    ),
    "Ibis: breadth first, light ones first": lambda state, all_: place_all(
        state, _light_first(state, all_), breadth_first
    ),
}
#: Ibis with our reserve: the same test of a node as ours.
SAME_RESERVE = ", our reserve"
ONLINE, RESERVING = "ours, as they come", "ours, as they come, room reserved"
TOGETHER = "ours, all at once"

#: How much longer policies that know limits are simulated, so that chance breaks few of them.
LONGER = 6

#: How long the exact solver may take, in its own deterministic seconds.
EXACT_SECONDS = 20.0


def _light_first(state: ClusterState, applications: Sequence[Application]) -> list[Application]:
    """Return applications by the least load that they put on any place."""

    def load(application: Application) -> float:
        demands = [kind.demand(application) for kind in state.kinds]
        return min((float(each.load.min()) for each in demands if each is not None), default=np.inf)

    return sorted(applications, key=load)


def compared(world: World, seeds: int, requests: int) -> list[Figure]:
    """Return how many applications keep their limits under each scheme, over several draws."""
    as_careful = {f"{name}{SAME_RESERVE}": scheme for name, scheme in IBIS.items()}
    schemes = {**MEMORY, **IBIS, **as_careful, **LIGHT_FIRST, TOGETHER: place_together}
    placed: dict[str, list[int]] = {}
    kept: dict[str, list[int]] = {}
    for seed in range(seeds):
        applications = world.draw(world.count, seed)
        seconds = requests / float(np.mean([each.rate_ips for each in applications]))
        expected = world.draw(world.count, seed + 1000)  # another draw: what is known beforehand
        schemes[ONLINE] = partial(_as_they_come, expected)
        schemes[RESERVING] = partial(_reserving, expected)
        for name, scheme in schemes.items():
            rules = careful(world) if name.startswith("ours") or name in as_careful else world.rules
            state = ClusterState(world.nodes, rules)
            scheme(state, applications)
            longer = 1 if name in MEMORY else LONGER
            stays = simulated_stays(state, longer * seconds, seed)
            good = sum(
                stay.keeps(state.applications[each], world.rules.late)
                for each, stay in stays.items()
            )
            placed.setdefault(name, []).append(len(state.spots))
            kept.setdefault(name, []).append(good)
    print(f"{world.name}: {world.count} applications, {len(world.nodes)} nodes, {seeds} draws")
    table(
        ["policy", "placed", "kept their limits"],
        [[name, f"{np.mean(placed[name]):.1f}", f"{np.mean(kept[name]):.1f}"] for name in placed],
    )
    mean = {name: float(np.mean(each)) for name, each in kept.items()}
    memory, ibis = max(mean[each] for each in MEMORY), max(mean[each] for each in IBIS)
    ours = (ONLINE, RESERVING, TOGETHER)
    late = 100 * (1 - sum(mean[e] for e in ours) / sum(float(np.mean(placed[e])) for e in ours))
    own_engines = not world.rules.shared_engines and not world.rules.late
    return [
        figure(f"{world.name}: ours over memory-only knapsack",
               mean[TOGETHER] / max(mean["memory: knapsack"], 1.0), "x",
               "" if own_engines else ">= 2.3"),
        figure(f"{world.name}: ours over the best memory-only policy",
               mean[TOGETHER] / max(memory, 1.0), "x"),
        figure(f"{world.name}: ours above Ibis's best policy",
               100 * (mean[TOGETHER] / ibis - 1), "%", ">= 5"),
        figure(f"{world.name}: ours above Ibis's best policy, light ones first",
               100 * (mean[TOGETHER] / max(mean[each] for each in LIGHT_FIRST) - 1), "%"),
        figure(f"{world.name}: ours as they come, room reserved, above Ibis's best policy",
               100 * (mean[RESERVING] / ibis - 1), "%", ">= 5"),
        figure(f"{world.name}: ours as they come, nobody refused, above Ibis's best policy",
               100 * (mean[ONLINE] / ibis - 1), "%"),
        figure(f"{world.name}: the same, above Ibis's best policy with our reserve",
               100 * (mean[ONLINE] / max(mean[each] for each in as_careful) - 1), "%"),
        figure(f"{world.name}: our applications whose limit was not kept", late, "%", "<= 0"),
    ]  # fmt: skip


def _as_they_come(
    expected: Sequence[Application], state: ClusterState, applications: Sequence[Application]
) -> list[Application]:
    return place_all(state, applications, OneMore(state, expected))


def _reserving(
    expected: Sequence[Application], state: ClusterState, applications: Sequence[Application]
) -> list[Application]:
    return place_reserving(state, applications, expected)


def exact(worlds: Sequence[World], seeds: int) -> list[Figure]:
    """Return how far our placement is from the exact optimum, where that is proven in time."""
    losses, unproven, lines = [], 0, []
    for world, seed in itertools.product(worlds, range(seeds)):
        applications = world.draw(world.count, seed)
        state = ClusterState(world.nodes, careful(world))
        place_together(state, applications)
        best = most_hosted(state, applications, EXACT_SECONDS)
        said = ["nothing in time"] * 2 if best is None else [str(best.hosted), str(best.bound)]
        nodes = str(len(world.nodes))
        lines.append([world.name, nodes, str(seed), str(len(state.spots)), *said])
        if best is None or best.bound > best.hosted:
            unproven += 1
        else:
            losses.append(100 * (1 - len(state.spots) / best.hosted))
    print("Applications hosted, and what the exact solver says")
    table(["values of", "nodes", "draw", "ours", "exact", "at most"], lines)
    return [
        figure("ours below the exact optimum: mean", float(np.mean(losses)), "%", "<= 3"),
        figure("ours below the exact optimum: worst", max(losses), "%"),
        figure("clusters whose optimum was proven", len(losses), ""),
        figure("clusters whose optimum was not proven in time", unproven, ""),
    ]


def main() -> int:
    """Print the tables and the figures."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=2, help="draws of applications")
    options.add_argument("--requests", type=int, default=2000, help="of an average application")
    options.add_argument("--scale", type=int, default=10_000, help="nodes of the largest cluster")
    arguments = options.parse_args()
    kinds = orin_kinds()
    orin = orin_world(10, 0, kinds)
    worlds = [
        paper_world(tpus=False, shared=True),
        paper_world(tpus=True, shared=True),
        paper_world(tpus=False, shared=False),
        orin,
    ]
    figures = [
        each for world in worlds for each in compared(world, arguments.seeds, arguments.requests)
    ]
    small = [replace(each, nodes=each.nodes[::2], count=each.count // 2) for each in worlds[:-1]]
    figures += exact([*small, orin_world(4, 0, kinds, networks=3, limits=1)], arguments.seeds)
    state = ClusterState(orin.nodes, careful(orin))
    place_together(state, orin.draw(orin.count, 0))
    figures += device_model_figures(state)
    figures += scale(arguments.scale, orin_world(arguments.scale, 0, kinds))
    return report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
