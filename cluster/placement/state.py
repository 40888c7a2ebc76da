"""Hold what every node of a cluster has and hosts, as arrays, a group for each kind of node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cluster.placement.feasibility import (
    FULL,
    budget_s,
    filled,
    gather_s,
    mean_batch,
    tightness,
)
from cluster.placement.nodes import Application, Engine, Node, NodeKind, Rules
from envs.arrays import BoolArray, FloatArray, Rows
from envs.errors import OptionError


class Spot(NamedTuple):
    """Where one replica is: the number of a node, and which of its network's engines serves it."""

    node: int
    engine: int


class Demand(NamedTuple):
    """Hold what a replica takes of a node, by the engines [O] that its kind has for the network.

    Attributes:
        engines: the engines.
        numbers: [O] their numbers among all engines of the kind.
        place: [O] index of the place.
        load: [O] on the place.
        second_s: [O] rate times size squared.
        tight: [O] see `feasibility.tightness`; 0 where it can never be served.
        engine_mib: [O] memory of the engine.
        watts: [O] power above an idle node; NaN where nobody knows.
    """

    engines: tuple[Engine, ...]
    numbers: Rows
    place: Rows
    load: FloatArray
    second_s: FloatArray
    tight: FloatArray
    engine_mib: FloatArray
    watts: FloatArray


class KindState:
    """The nodes of one kind: E nodes, A places.

    Attributes:
        kind: of all of them.
        numbers: [E] their numbers in the cluster, ascending.
        load, second_s, tight: [E, A], see `feasibility`.
        used_mib: [E].
        present: [E, number of engines], how many replicas an engine serves.
        alive: [E], False for nodes that went.
    """

    def __init__(self, kind: NodeKind, numbers: Sequence[int], rules: Rules) -> None:
        self.kind, self.rules = kind, rules
        self.numbers = np.array(numbers, dtype=np.int64)
        self.shared = np.array([place.shared for place in kind.places])
        shape = (len(numbers), len(kind.places))
        self.load, self.second_s = np.zeros(shape), np.zeros(shape)
        self.tight = np.full(shape, np.inf)
        self.used_mib = np.zeros(len(numbers))
        self.alive = np.ones(len(numbers), dtype=bool)
        self._first, total = {}, 0
        for network, engines in kind.engines.items():
            self._first[network], total = total, total + len(engines)
        self.present = np.zeros((len(numbers), total), dtype=np.int16)
        self._demands: dict[tuple[str, float, float, int], Demand | None] = {}

    def demand(self, application: Application) -> Demand | None:
        """Return what a replica takes here; None where its network is not served."""
        key = (
            application.network,
            application.rate_ips,
            application.limit_s,
            application.replicas,
        )
        if key not in self._demands:
            self._demands[key] = self._demand(application)
        return self._demands[key]

    def _demand(self, application: Application) -> Demand | None:
        engines = self.kind.engines.get(application.network, ())
        if not engines:
            return None
        names = [place.name for place in self.kind.places]
        place = [names.index(each.place) for each in engines]
        rate = application.rate_ips / application.replicas
        size, tight, batches = [], [], []
        for engine, at in zip(engines, place, strict=True):
            size.append(engine.batch_s + engine.swap_s)
            left = budget_s(application, engine, self.kind, self.rules)
            tight.append(tightness(self.kind.places[at], size[-1], left, self.rules))
            waits = gather_s(application, engine.batch)
            batches.append(rate / mean_batch(rate, engine.batch, waits))
        batch_rate, sizes = np.array(batches), np.array(size)
        return Demand(
            engines,
            self._first[application.network] + np.arange(len(engines)),
            np.array(place, dtype=np.int64),
            batch_rate * sizes,
            batch_rate * sizes**2,
            np.array(tight),
            np.array([each.memory_mib for each in engines]),
            batch_rate * np.array([each.energy_j for each in engines]),
        )

    def memory_after(self, demand: Demand, rows: Rows | slice) -> FloatArray:
        """Return the memory [E', O] that would be used with one replica more."""
        engine = np.broadcast_to(demand.engine_mib, (len(self.used_mib[rows]), len(demand.place)))
        if self.rules.shared_engines:
            engine = np.where(self.present[rows][:, demand.numbers] > 0, 0.0, engine)
        return np.asarray(self.used_mib[rows][:, None] + engine + self.kind.front_end_mib)

    def has_memory(self, demand: Demand, rows: Rows | slice = slice(None)) -> BoolArray:
        """Return True [E', O] where the memory is enough, and the node is there."""
        enough = self.memory_after(demand, rows) <= self.rules.memory * self.kind.memory_mib
        return np.asarray(enough & self.alive[rows][:, None])

    def fill_before(self, demand: Demand, rows: Rows | slice = slice(None)) -> FloatArray:
        """Return how full the places [E', O] are now."""
        at = demand.place
        load, second, tight = (each[rows][:, at] for each in (self.load, self.second_s, self.tight))
        return filled(self.shared[at], load, second, tight, self.rules)

    def fill_after(self, demand: Demand, rows: Rows | slice = slice(None)) -> FloatArray:
        """Return how full the places [E', O] would be with one replica more."""
        at = demand.place
        load = self.load[rows][:, at] + demand.load
        second = self.second_s[rows][:, at] + demand.second_s
        tight = np.minimum(self.tight[rows][:, at], demand.tight)
        return filled(self.shared[at], load, second, tight, self.rules)

    def fits(self, demand: Demand, rows: Rows | slice = slice(None)) -> BoolArray:
        """Return True [E', O] where everybody on the node keeps all rules with one replica more."""
        return np.asarray(self.has_memory(demand, rows) & (self.fill_after(demand, rows) <= FULL))

    def change(self, row: int, demand: Demand, engine: int, sign: int) -> None:
        """Add (sign 1) or take away (-1) a replica; the tightness is only ever made less here."""
        at, number = demand.place[engine], demand.numbers[engine]
        self.load[row, at] += sign * demand.load[engine]
        self.second_s[row, at] += sign * demand.second_s[engine]
        if sign > 0:
            self.tight[row, at] = min(self.tight[row, at], demand.tight[engine])
        alone = self.present[row, number] == (0 if sign > 0 else 1)
        if alone or not self.rules.shared_engines:
            self.used_mib[row] += sign * demand.engine_mib[engine]
        self.used_mib[row] += sign * self.kind.front_end_mib
        self.present[row, number] += sign


class ClusterState:
    """Hold what is placed where; see `KindState` for the numbers of its nodes.

    Args:
        nodes: of the cluster.
        rules: what must hold on each.

    Attributes:
        removals: how often something was taken away; what found no room may find some then.

    Raises:
        OptionError: two kinds that differ have the same name.
    """

    def __init__(self, nodes: Sequence[Node], rules: Rules) -> None:
        self.nodes, self.rules = tuple(nodes), rules
        by_kind: dict[str, list[int]] = {}
        for number, node in enumerate(nodes):
            own = by_kind.setdefault(node.kind.name, [])
            own.append(number)
            if node.kind is not nodes[own[0]].kind and node.kind != nodes[own[0]].kind:
                raise OptionError(
                    f"nodes {nodes[own[0]].name} and {node.name} are of kinds that differ and are"
                    f" both named {node.kind.name}: give each kind a name of its own"
                )
        self.kinds = [
            KindState(nodes[numbers[0]].kind, numbers, rules) for numbers in by_kind.values()
        ]
        self._at: dict[int, tuple[KindState, int]] = {
            int(number): (each, row)
            for each in self.kinds
            for row, number in enumerate(each.numbers)
        }
        self.removals = 0
        self.spots: dict[str, tuple[Spot, ...]] = {}
        self.applications: dict[str, Application] = {}
        self._hosted: list[dict[str, int]] = [{} for _ in nodes]

    def where(self, node: int) -> tuple[KindState, int]:
        """Return the kind of a node, and its row there."""
        return self._at[node]

    def hosted(self, node: int) -> dict[str, int]:
        """Return the names of the applications on a node, with the engine of each."""
        return self._hosted[node]

    def add(self, application: Application, spots: Sequence[Spot]) -> None:
        """Place all replicas of an application; whether they fit is asked before.

        Raises:
            OptionError: an application of this name is there already.
        """
        if application.name in self.spots:
            raise OptionError(
                f"two applications have the name {application.name}: give each a name of its own"
            )
        self.spots[application.name] = tuple(spots)
        self.applications[application.name] = application
        for node, engine in spots:
            kind, row = self._at[node]
            demand = kind.demand(application)
            assert demand is not None
            kind.change(row, demand, engine, 1)
            self._hosted[node][application.name] = engine

    def remove(self, name: str) -> Application:
        """Take an application away from all of its nodes, and return it."""
        application = self.applications.pop(name)
        self.removals += 1
        for node, engine in self.spots.pop(name):
            kind, row = self._at[node]
            demand = kind.demand(application)
            assert demand is not None
            kind.change(row, demand, engine, -1)
            del self._hosted[node][name]
            self._tighten(node, int(demand.place[engine]))
        return application

    def _tighten(self, node: int, place: int) -> None:
        """Find the tightest of what is left on a place, and its load without rounding errors."""
        kind, row = self._at[node]
        tight, load, second = np.inf, 0.0, 0.0
        for name, engine in self._hosted[node].items():
            demand = kind.demand(self.applications[name])
            assert demand is not None
            if demand.place[engine] == place:
                tight = min(tight, float(demand.tight[engine]))
                load += float(demand.load[engine])
                second += float(demand.second_s[engine])
        kind.tight[row, place], kind.load[row, place] = tight, load
        kind.second_s[row, place] = second

    def fits_at(self, application: Application, node: int) -> BoolArray:
        """Return True [O] for the engines of a node with which a replica fits there."""
        kind, row = self._at[node]
        demand = kind.demand(application)
        if demand is None:
            return np.zeros(0, dtype=bool)
        return np.asarray(kind.fits(demand, np.array([row]))[0])

    def watts(self) -> float:
        """Return the power of all that is hosted, above that of idle nodes."""
        return sum(self._watts(name) for name in self.spots)

    def _watts(self, name: str) -> float:
        application, total = self.applications[name], 0.0
        for node, engine in self.spots[name]:
            demand = self._at[node][0].demand(application)
            assert demand is not None
            total += float(demand.watts[engine])
        return total

    def broken(self) -> Iterator[str]:
        """Yield a sentence for every rule that a node breaks; none after a feasible placement."""
        for kind in self.kinds:
            full = filled(kind.shared, kind.load, kind.second_s, kind.tight, self.rules)
            for row, at in zip(*np.nonzero(full > FULL + 1e-6), strict=True):
                node = self.nodes[int(kind.numbers[row])].name
                yield f"{node}: {kind.kind.places[at].name} is filled to {full[row, at]:.2f}"
            over = kind.used_mib > self.rules.memory * kind.kind.memory_mib * (1 + 1e-9)
            for row in np.nonzero(over)[0]:
                yield f"{self.nodes[int(kind.numbers[row])].name}: {kind.used_mib[row]:.0f} MiB"
