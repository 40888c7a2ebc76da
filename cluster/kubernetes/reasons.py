"""Say in one sentence why an application has no place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cluster.placement.feasibility import FULL, filled
from cluster.placement.nodes import Application
from cluster.placement.state import ClusterState, Demand, KindState

#: Requests a second of an application that hardly ever come: what it takes alone.
LEAST_IPS = 1e-3


def why_not(state: ClusterState, application: Application, placed: int = 0) -> str:
    """Return why a replica of an application finds no place.

    Args:
        state: of the cluster, with everybody else in it.
        application: that is not placed, or lacks replicas.
        placed: replicas that have a place.
    """
    begin = f"{placed} of {application.replicas} replicas are placed: " if placed else ""
    return begin + _why_not(state, application)


def _why_not(state: ClusterState, application: Application) -> str:
    if not state.nodes:
        return "no node is ready that has the label of a board"
    found = [
        (kind, demand) for kind in state.kinds if (demand := kind.demand(application)) is not None
    ]
    if not found:
        return (
            f"no board here has a profile of network {application.network}: networks of the"
            " catalogue have one, and files in the controller's --profiles"
        )
    one = replace(application, rate_ips=LEAST_IPS * application.replicas)
    if not any((_demand(kind, one).tight > 0).any() for kind, _ in found):
        return _too_slow(application, found)
    if not any(_fits_alone(kind, demand) for kind, demand in found):
        return _too_much(application, found)
    alive = sum(int(kind.alive.sum()) for kind, _ in found)
    if alive < application.replicas:
        return (
            f"{application.replicas} replicas need as many nodes that take applications, and"
            f" {alive} of those that can serve {application.network} do"
        )
    return _full(state, application, found)


def _demand(kind: KindState, application: Application) -> Demand:
    found = kind.demand(application)
    assert found is not None
    return found


def _too_slow(application: Application, found: list[tuple[KindState, Demand]]) -> str:
    best, board = min(
        (engine.batch_s + kind.kind.front_end_s, kind.kind.name)
        for kind, demand in found
        for engine in demand.engines
    )
    rules = found[0][0].rules
    return (
        f"no board keeps a p99 of {application.limit_s * 1e3:g} ms for {application.network}: alone"
        f" on the fastest ({board}) a request takes {best * 1e3:.1f} ms, waiting not counted, and"
        f" {rules.network_s * 1e3:g} ms on the way; {100 * rules.reserve:g} % of the limit is kept"
        " in reserve"
    )


def _fits_alone(kind: KindState, demand: Demand) -> bool:
    """Return True if an empty node of a kind has room for a replica."""
    at = demand.place
    fill = filled(kind.shared[at], demand.load, demand.second_s, demand.tight, kind.rules)
    memory = demand.engine_mib + kind.kind.front_end_mib
    enough = memory <= kind.rules.memory * kind.kind.memory_mib
    return bool(((fill <= FULL) & (demand.tight > 0) & enough).any())


def _too_much(application: Application, found: list[tuple[KindState, Demand]]) -> str:
    rate = application.rate_ips / application.replicas
    memory = min(float(demand.engine_mib.min()) + k.kind.front_end_mib for k, demand in found)
    room = max(kind.rules.memory * kind.kind.memory_mib for kind, _ in found)
    if memory > room:
        return (
            f"{application.network} needs {memory:.0f} MiB, and the largest board gives"
            f" {room:.0f} MiB"
        )
    return (
        f"no board serves {rate:g} requests/s of {application.network} alone within"
        f" {application.limit_s * 1e3:g} ms: give it more replicas, a lower rateIps or a longer"
        " p99Ms"
    )


def _full(
    state: ClusterState, application: Application, found: list[tuple[KindState, Demand]]
) -> str:
    """Return why nodes that could serve a replica have no room for it now."""
    own = {spot.node for spot in state.spots.get(application.name, ())}
    rooms, memory, best = 0, False, np.inf
    for kind, demand in found:
        free = kind.alive & ~np.isin(kind.numbers, list(own))
        enough = kind.has_memory(demand)[free]
        fill = np.where(enough, kind.fill_after(demand)[free], np.inf)
        rooms += int((fill <= FULL).any(axis=1).sum())
        memory = memory or bool(enough.any())
        best = min(best, float(fill.min(initial=np.inf)))
    network, count = application.network, application.replicas
    if rooms:
        return f"{count} replicas need as many nodes, and {rooms + len(own)} have room for one"
    if not memory:
        need = min(float(d.engine_mib.min()) + k.kind.front_end_mib for k, d in found)
        return f"no node that serves {network} has {need:.0f} MiB of memory left"
    return (
        f"every accelerator that could serve {network} is too full for it, or for the limits of"
        f" those there: the best would be filled to {best:.2f} times what its rules allow"
    )
