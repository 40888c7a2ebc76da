"""A placement with single requests: how long those of each application really take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cluster.placement.feasibility import gather_s
from cluster.placement.nodes import Application, Engine, NodeKind
from cluster.placement.state import ClusterState
from cluster.simulate.requests import Arrivals, first_come, gathered, poisson_arrivals, shared
from envs.arrays import FloatArray, Rows


class Stay(NamedTuple):
    """Hold how long the requests of an application took.

    Attributes:
        mean_s: on average, NaN if none came.
        p99_s: 99th percentile.
        requests: how many.
    """

    mean_s: float
    p99_s: float
    requests: int

    def keeps(self, application: Application, late: bool) -> bool:
        """Return True if the limit was kept, of the 99th percentile (`late`) or of the mean."""
        return not (self.p99_s if late else self.mean_s) > application.limit_s


class _Batches(NamedTuple):
    """Batches of one application on its way to a place."""

    name: str
    came_s: FloatArray
    closed_s: FloatArray
    sizes: Rows
    engine: Engine


def simulated_stays(
    state: ClusterState, seconds: float, seed: int = 0, nodes: Iterable[int] | None = None
) -> dict[str, Stay]:
    """Return what requests of every hosted application take, node by node.

    Args:
        state: with what it hosts.
        seconds: of Poisson arrivals.
        seed: of the arrivals, which are the same for the same application on any node.
        nodes: numbers of those that are looked at; None for all.
    """
    found: dict[str, list[FloatArray]] = {}
    for node in range(len(state.nodes)) if nodes is None else nodes:
        for name, stays in _node(state, node, seconds, seed).items():
            found.setdefault(name, []).append(stays)
    return {name: _stay(np.concatenate(each)) for name, each in found.items()}


def _stay(stays_s: FloatArray) -> Stay:
    if not len(stays_s):
        return Stay(np.nan, np.nan, 0)
    return Stay(float(stays_s.mean()), float(np.quantile(stays_s, 0.99)), len(stays_s))


def _node(state: ClusterState, node: int, seconds: float, seed: int) -> dict[str, FloatArray]:
    """Return the times of the requests [B] of each application on a node."""
    kind, found = state.where(node)[0].kind, {}
    by_place: dict[str, list[_Batches]] = {}
    for name, engine in state.hosted(node).items():
        own = _to_the_place(state.applications[name], engine, kind, seconds, seed)
        by_place.setdefault(own.engine.place, []).append(own)
    for place in kind.places:
        batches = by_place.get(place.name, [])
        for own, done_s in zip(batches, _served(batches, place.shared), strict=True):
            answered = np.repeat(done_s, own.sizes)
            found[own.name] = answered - own.came_s + state.rules.network_s
    return found


def _to_the_place(
    application: Application, engine: int, kind: NodeKind, seconds: float, seed: int
) -> _Batches:
    """Return the batches of an application as they leave front end and gathering."""
    chosen = kind.engines[application.network][engine]
    # Python's hash of a text changes from run to run; its bytes do not.
    rng = np.random.default_rng([seed, *application.name.encode()])
    rate = np.array([application.rate_ips / application.replicas])
    came = poisson_arrivals(rate, seconds, rng).times_s
    ready = shared(came, np.full(len(came), kind.front_end_s)) if kind.front_end_s else came
    closed, sizes = gathered(ready, chosen.batch, gather_s(application, chosen.batch))
    return _Batches(application.name, came, closed, sizes, chosen)


def _served(batches: list[_Batches], is_shared: bool) -> list[FloatArray]:
    """Return when the batches of each application are done that share a place."""
    if not batches:
        return []
    counts = [len(each.closed_s) for each in batches]
    times = np.concatenate([each.closed_s for each in batches])
    classes = np.repeat(np.arange(len(batches)), counts)
    size = np.array([each.engine.batch_s for each in batches])[classes]
    swap = np.array([each.engine.swap_s for each in batches])
    order = np.argsort(times, kind="stable")
    if is_shared:
        done = shared(times[order], size[order])
    else:
        done = first_come(Arrivals(times[order], classes[order]), size[order], swap)
    back = np.empty_like(done)
    back[order] = done
    return np.split(back, np.cumsum(counts)[:-1])
