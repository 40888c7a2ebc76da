"""Nodes and applications as placement sees them: frozen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from envs.errors import OptionError


@dataclass(frozen=True)
class Place:
    """One accelerator of a node.

    Attributes:
        name: such as `gpu` or `dla0`.
        shared: True where requests share it, a GPU; False where they are served first come first
            served, a DLA core or an Edge TPU.
    """

    name: str
    shared: bool


@dataclass(frozen=True)
class Engine:
    """One way in which a node can serve a network.

    Attributes:
        place: name of its place.
        batch: requests of a batch.
        batch_s: time of a batch that has the place alone, full or not.
        memory_mib: of the engine with its process.
        swap_s: what a batch takes more after another network; it is counted for every batch.
        energy_j: joules of a batch above those of an idle node; NaN where nobody knows.
    """

    place: str
    batch: int
    batch_s: float
    memory_mib: float
    swap_s: float = 0.0
    energy_j: float = math.nan

    def __post_init__(self) -> None:
        if not (self.batch >= 1 and 0 < self.batch_s < math.inf and self.memory_mib >= 0):
            raise OptionError(
                f"an engine on {self.place} has batch={self.batch}, batch_s={self.batch_s} and"
                f" memory_mib={self.memory_mib}: a batch has a request at least, and takes a time"
                " above zero; no memory is below zero"
            )


@dataclass(frozen=True)
class NodeKind:
    """Describe what nodes of one kind can do.

    Attributes:
        name: of the kind.
        places: its accelerators.
        memory_mib: all of its memory.
        engines: for each network, the ways to serve it; a network that is missing is not served.
        front_end_s: processor time of a request before the accelerator, on a core of its own.
        front_end_mib: memory of an application's front end.
    """

    name: str
    places: tuple[Place, ...]
    memory_mib: float
    engines: Mapping[str, tuple[Engine, ...]] = field(hash=False)
    front_end_s: float = 0.0
    front_end_mib: float = 0.0

    def __post_init__(self) -> None:
        names = {place.name for place in self.places}
        if len(names) < len(self.places):
            raise OptionError(f"two places of {self.name} have the same name")
        if not (self.memory_mib >= 0 and self.front_end_s >= 0 and self.front_end_mib >= 0):
            raise OptionError(
                f"{self.name}: memory_mib, front_end_s and front_end_mib must be 0 or more"
            )
        wrong = {each.place for own in self.engines.values() for each in own} - names
        if wrong:
            raise OptionError(
                f"{self.name} has engines on {', '.join(sorted(wrong))}: no such place"
            )


@dataclass(frozen=True)
class Node:
    """A device of the cluster.

    Attributes:
        name: of the node; some policies go by it.
        kind: what it can do.
    """

    name: str
    kind: NodeKind


@dataclass(frozen=True)
class Application:
    """A network that somebody wants served.

    Attributes:
        name: unique in the cluster.
        network: which one.
        rate_ips: Poisson arrivals, all replicas together.
        limit_s: limit on the time of a request, see `Rules.late`.
        replicas: nodes that share the arrivals evenly; all of them must be hosted.
        priority: the higher goes first where there is not room for all.
    """

    name: str
    network: str
    rate_ips: float
    limit_s: float
    replicas: int = 1
    priority: int = 0

    def __post_init__(self) -> None:
        numbers = (self.rate_ips, self.limit_s)
        if not (all(0 < each < math.inf for each in numbers) and self.replicas >= 1):
            raise OptionError(
                f"application {self.name}: rate_ips and limit_s must be above zero, and replicas"
                " at least 1"
            )
        if int(self.replicas) != self.replicas:
            raise OptionError(
                f"application {self.name}: replicas={self.replicas} is no number of"
                " nodes: give a whole one"
            )


@dataclass(frozen=True)
class Rules:
    """Hold the rules of every node, as Ibis has them (Liang et al., arXiv 2201.07312).

    Attributes:
        load: the most that a place, and a front end, may be used.
        memory: the most of a node's memory that may be used.
        network_s: time of a request on the way.
        late: True if limits are of the 99th percentile; False if of the mean, as in the paper.
        reserve: share of every limit that is not planned with: formulas and windows scatter. The
            paper has none.
        shared_engines: True if applications with the same network on a node share its engine's
            memory.
    """

    load: float = 0.8
    memory: float = 0.8
    network_s: float = 0.010
    late: bool = True
    reserve: float = 0.0
    shared_engines: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.load < 1 and 0 < self.memory <= 1 and 0 <= self.reserve < 1):
            raise OptionError(
                f"rules: load={self.load} must lie between 0 and 1, memory={self.memory} in 0..1,"
                f" and reserve={self.reserve} in 0..1, below 1"
            )
        if not 0 <= self.network_s < math.inf:
            raise OptionError(f"rules: network_s={self.network_s} must be 0 or more")
