"""Place ten applications for each of many nodes, and ask the exact solver about small parts."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.cluster_worlds import World, careful
from benchmarks.figures import Figure, figure
from cluster.placement.exact import most_hosted
from cluster.placement.failures import node_lost
from cluster.placement.nodes import Application
from cluster.placement.ours import OneMore
from cluster.placement.policies import host
from cluster.placement.state import ClusterState

#: Nodes of each kind that are looked at for one application.
SAMPLE = 32

#: Parts of the cluster that the exact solver fills anew, their nodes, and how many of the
#: applications that were left out it may use for each.
PARTS, PART_NODES, PART_LEFT = 12, 3, 40

#: How long it may take for a part, in its own deterministic seconds.
PART_SECONDS = 10.0


def scale(nodes: int, world: World) -> list[Figure]:
    """Return decisions a second of one core, memory, and how far parts are from the optimum."""
    applications = world.draw(10 * nodes, 0)
    state = ClusterState(world.nodes, careful(world))
    policy = OneMore(state, world.draw(1000, 1000), sample=SAMPLE)
    began = time.process_time()
    left = [each for each in applications if not host(state, each, policy)]
    took_s = time.process_time() - began
    most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    broken = sum(1 for _ in state.broken())
    hosts = f"{nodes:,} nodes, {len(applications):,} applications"
    figures = [
        figure(f"{hosts}: decisions for each second of one core", len(applications) / took_s, "1/s",
               ">= 1000"),
        figure(f"{hosts}: most memory of the process so far", most_mib, "MiB"),
        figure(f"{hosts}: hosted", 100 * (1 - len(left) / len(applications)), "%"),
        figure(f"{hosts}: rules that are broken", broken, "", "<= 0"),
        *_parts(hosts, state, left),
    ]  # fmt: skip
    began = time.process_time()
    after = node_lost(state, 0, policy)
    lost_s = time.process_time() - began
    return [
        *figures,
        figure(f"{hosts}: seconds until those of a lost node are placed anew", lost_s, "s"),
        figure(f"{hosts}: applications of a lost node that found no room", len(after.lost), ""),
    ]


def _parts(hosts: str, state: ClusterState, left: Sequence[Application]) -> list[Figure]:
    """Return how many applications parts of the cluster host, below what they could host.

    The exact solver may fill a part with what it hosts and with applications that were left out; an
    optimum that is not proven counts as its bound.
    """
    rng = np.random.default_rng(0)
    ours = best = 0
    count = min(PART_NODES, len(state.nodes))
    for _ in range(PARTS):
        chosen = rng.choice(len(state.nodes), count, replace=False).tolist()
        part = ClusterState([state.nodes[each] for each in chosen], state.rules)
        for row, node in enumerate(chosen):
            for name in state.hosted(node):
                (spot,) = state.spots[name]
                part.add(state.applications[name], [spot._replace(node=row)])
        more = [left[at] for at in rng.permutation(len(left))[:PART_LEFT]]
        found = most_hosted(part, [*part.applications.values(), *more], PART_SECONDS)
        ours += len(part.spots)
        best += len(part.spots) + len(more) if found is None else found.bound
    return [
        figure(f"{hosts}: hosted below the exact optimum, {PARTS} parts of {count} nodes",
               100 * (1 - ours / max(best, 1)), "%"),
    ]  # fmt: skip
