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
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.cluster_device_model import device_model_figures
from benchmarks.cluster_worlds import World, orin_kinds, orin_world, paper_world
from benchmarks.figures import Figure, figure, parser, report
from cluster.placement.exact import most_hosted
from cluster.placement.failures import node_lost
from cluster.placement.nodes import Application, Rules
from cluster.placement.ours import OneMore, place_together
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
from cluster.placement.state import ClusterState
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
ONLINE, TOGETHER = "ours, as they come", "ours, all at once"

#: Share of each limit that our policies do not plan with. The others plan with all of it, as the
#: paper does.
RESERVE = 0.15

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
    schemes: dict[str, Scheme] = {**MEMORY, **IBIS, **LIGHT_FIRST, TOGETHER: place_together}
    placed: dict[str, list[int]] = {}
    kept: dict[str, list[int]] = {}
    for seed in range(seeds):
        applications = world.draw(world.count, seed)
        seconds = requests / float(np.mean([each.rate_ips for each in applications]))
        expected = world.draw(world.count, seed + 1000)  # another draw: what is known beforehand
        schemes[ONLINE] = lambda state, all_, known=expected: place_all(  # type: ignore[misc]
            state, all_, OneMore(state, known)
        )
        for name, scheme in schemes.items():
            rules = _careful(world) if name in (ONLINE, TOGETHER) else world.rules
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
    late = 100 * (1 - mean[TOGETHER] / float(np.mean(placed[TOGETHER])))
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
        figure(f"{world.name}: ours as they come above Ibis's best policy",
               100 * (mean[ONLINE] / ibis - 1), "%"),
        figure(f"{world.name}: our applications whose limit was not kept", late, "%", "<= 0"),
    ]  # fmt: skip


def _careful(world: World) -> Rules:
    return replace(world.rules, reserve=RESERVE)


def exact(worlds: Sequence[World], seeds: int) -> list[Figure]:
    """Return how far our placement is from the exact optimum, where that is proven in time."""
    losses, unproven, lines = [], 0, []
    for world, seed in itertools.product(worlds, range(seeds)):
        applications = world.draw(world.count, seed)
        state = ClusterState(world.nodes, _careful(world))
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


def scale(nodes: int, world: World) -> list[Figure]:
    """Return decisions a second of one core where ten applications come for each node."""
    applications = world.draw(10 * nodes, 0)
    state = ClusterState(world.nodes, _careful(world))
    policy = OneMore(state, world.draw(1000, 1000), sample=32)
    began = time.process_time()
    left = [each for each in applications if not host(state, each, policy)]
    took_s = time.process_time() - began
    broken = sum(1 for _ in state.broken())
    hosts = f"{nodes:,} nodes, {len(applications):,} applications"
    began = time.process_time()
    after = node_lost(state, 0, policy)
    lost_s = time.process_time() - began
    return [
        figure(f"{hosts}: decisions for each second of one core", len(applications) / took_s, "1/s",
               ">= 1000"),
        figure(f"{hosts}: hosted", 100 * (1 - len(left) / len(applications)), "%"),
        figure(f"{hosts}: rules that are broken", broken, "", "<= 0"),
        figure(f"{hosts}: seconds until those of a lost node are placed anew", lost_s, "s"),
        figure(f"{hosts}: applications of a lost node that found no room", len(after.lost), ""),
    ]  # fmt: skip


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
    state = ClusterState(orin.nodes, _careful(orin))
    place_together(state, orin.draw(orin.count, 0))
    figures += device_model_figures(state)
    figures += scale(arguments.scale, orin_world(arguments.scale, 0, kinds))
    return report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
