"""The most applications that a small cluster can host, by OR-Tools CP-SAT.

Applications are counted by class (network, rate, limit). A whole number says how many of a class
an engine of a node serves. On a shared place everybody's limit is a bound on the load, which is
linear. First come, first served it is a bound on m2 that depends on the load (`feasibility`): the
load is cut into steps, and rounded up. Answers are therefore feasible, and at most a step from the
best. Ten thousandths of everything are whole numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cluster.placement.nodes import Application
from cluster.placement.state import ClusterState, Demand, KindState
from envs.errors import OptionError
from envs.optional import optional_import

#: Parts of one in whole numbers, and steps of the load first come, first served.
UNIT, STEPS = 10_000, 400


class Optimum(NamedTuple):
    """The answer of the exact solver.

    Attributes:
        hosted: applications of the best placement that was found.
        bound: no placement hosts more.
        counts: for each node, how many of each (class, engine).
    """

    hosted: int
    bound: int
    counts: tuple[dict[tuple[int, int], int], ...]


def most_hosted(
    state: ClusterState, applications: Sequence[Application], seconds: float = 30.0
) -> Optimum | None:
    """Return the most applications that an empty cluster can host.

    Args:
        state: of the cluster; what it hosts is taken as a hint, and nothing else.
        applications: with one replica each; priorities are not looked at.
        seconds: the most that it searches, in OR-Tools' deterministic seconds, so that the answer
            does not depend on the computer; the bound holds where they are over.

    Returns:
        The answer; None where the time was not enough for any.

    Raises:
        OptionError: an application has several replicas.
        DependencyError: OR-Tools is not installed (the extra `schedules`).
    """
    cp = optional_import("ortools.sat.python.cp_model", "schedules")
    if any(each.replicas > 1 for each in applications):
        raise OptionError("the exact placement has one replica for each application")
    count = Counter((each.network, each.rate_ips, each.limit_s) for each in applications)
    first = {(each.network, each.rate_ips, each.limit_s): each for each in applications}
    classes = [(first[key], number) for key, number in count.items()]
    model = cp.CpModel()
    nodes = [_node(model, state.where(each)[0], classes) for each in range(len(state.nodes))]
    hosted: list[Any] = []
    for index, (_, number) in enumerate(classes):
        mine = [var for node in nodes for (which, _), var in node.items() if which == index]
        if mine:
            model.add(sum(mine) <= number)
            hosted += mine
    _hint(model, state, classes, nodes)
    model.maximize(sum(hosted))
    solver = cp.CpSolver()
    solver.parameters.max_deterministic_time = seconds
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    status = solver.solve(model)
    if status not in (cp.OPTIMAL, cp.FEASIBLE):
        return None
    counts = tuple(
        {key: value for key, var in node.items() if (value := solver.value(var))} for node in nodes
    )
    bound = math.floor(solver.best_objective_bound + 1e-6)
    return Optimum(round(solver.objective_value), bound, counts)


def _node(
    model: Any,
    kind: KindState,
    classes: list[tuple[Application, int]],
) -> dict[tuple[int, int], Any]:
    """Add the variables and conditions of a node; return how many (class, engine) it serves."""
    demands = [kind.demand(application) for application, _ in classes]
    found: dict[tuple[int, int], Any] = {}
    used: dict[tuple[int, int], Any] = {}
    for which, (demand, (_, number)) in enumerate(zip(demands, classes, strict=True)):
        for engine in range(0 if demand is None else len(demand.place)):
            assert demand is not None
            if demand.tight[engine] <= 0 or _is_beaten(demand, engine):
                continue
            most = min(number, int(kind.rules.load / demand.load[engine]))
            if most:
                found[which, engine] = model.new_int_var(0, most, f"n{which},{engine}")
                used[which, engine] = model.new_bool_var(f"u{which},{engine}")
                model.add(found[which, engine] <= most * used[which, engine])
    for place, shared in enumerate(kind.shared):
        mine = [key for key in found if _of(demands, key).place[key[1]] == place]
        if mine:
            condition = _shared_place if shared else _first_come_place
            condition(model, kind, demands, mine, found, used)
    _memory(model, kind, demands, found, used)
    return found


def _is_beaten(demand: Demand, engine: int) -> bool:
    """Return True if another engine on the same place takes no more of anything."""
    costs = np.stack([demand.load, demand.second_s, -demand.tight, demand.engine_mib], axis=1)
    same = demand.place == demand.place[engine]
    no_worse = (costs <= costs[engine]).all(axis=1) & same
    better = (costs < costs[engine]).any(axis=1) | (np.arange(len(costs)) < engine)
    return bool((no_worse & better).any())


def _of(demands: list[Demand | None], key: tuple[int, int]) -> Demand:
    demand = demands[key[0]]
    assert demand is not None
    return demand


def _load(
    demands: list[Demand | None], mine: list[tuple[int, int]], found: dict[tuple[int, int], Any]
) -> Any:
    """Return the load of a place, in parts of `UNIT` rounded up, as an expression of the model."""
    return sum(math.ceil(UNIT * _of(demands, key).load[key[1]]) * found[key] for key in mine)


def _shared_place(
    model: Any,
    kind: KindState,
    demands: list[Demand | None],
    mine: list[tuple[int, int]],
    found: dict[tuple[int, int], Any],
    used: dict[tuple[int, int], Any],
) -> None:
    load = _load(demands, mine, found)
    model.add(load <= int(UNIT * kind.rules.load))
    for key in mine:
        tight = int(UNIT * _of(demands, key).tight[key[1]])
        if tight < UNIT * kind.rules.load:
            model.add(load <= tight).only_enforce_if(used[key])


def _first_come_place(
    model: Any,
    kind: KindState,
    demands: list[Demand | None],
    mine: list[tuple[int, int]],
    found: dict[tuple[int, int], Any],
    used: dict[tuple[int, int], Any],
) -> None:
    top = int(STEPS * kind.rules.load)
    step = model.new_int_var(0, top, "load")
    load = _load(demands, mine, found)
    model.add(load <= (UNIT // STEPS) * step)
    model.add(load > (UNIT // STEPS) * (step - 1))
    # m2 of a second as a share of the slack that is g(load) times as long.
    loads = np.arange(top + 1) / STEPS
    idle = 2.0 * (1.0 - loads)
    late = np.log(np.maximum(100.0 * loads, 1.0)) / np.maximum(loads, 0.01)
    g = idle / np.maximum(late, idle / 100.0) if kind.rules.late else idle
    g = np.minimum(g, np.concatenate([g[:1], g[:-1]]))  # at both ends of a step
    allowed = model.new_int_var(0, int(UNIT * g.max()), "allowed")
    model.add_element(step, [int(UNIT * value) for value in g], allowed)
    for key in mine:
        slack = float(_of(demands, key).tight[key[1]])
        second = sum(
            math.ceil(UNIT * _of(demands, each).second_s[each[1]] / slack) * found[each]
            for each in mine
        )
        model.add(second <= allowed).only_enforce_if(used[key])


def _memory(
    model: Any,
    kind: KindState,
    demands: list[Demand | None],
    found: dict[tuple[int, int], Any],
    used: dict[tuple[int, int], Any],
) -> None:
    terms = []
    engines: dict[int, list[Any]] = {}
    for key, var in found.items():
        demand = _of(demands, key)
        mib = kind.kind.front_end_mib
        if kind.rules.shared_engines:
            engines.setdefault(int(demand.numbers[key[1]]), []).append(key)
        else:
            mib += float(demand.engine_mib[key[1]])
        terms.append(math.ceil(mib) * var)
    for number, keys in engines.items():
        there = model.new_bool_var(f"engine{number}")
        for key in keys:
            model.add_implication(used[key], there)
        terms.append(math.ceil(_of(demands, keys[0]).engine_mib[keys[0][1]]) * there)
    if terms:
        model.add(sum(terms) <= int(kind.rules.memory * kind.kind.memory_mib))


def _hint(
    model: Any,
    state: ClusterState,
    classes: list[tuple[Application, int]],
    nodes: list[dict[tuple[int, int], Any]],
) -> None:
    """Start from what the cluster hosts now; engines that others beat are not hinted."""
    index = {(e.network, e.rate_ips, e.limit_s): number for number, (e, _) in enumerate(classes)}
    for number, variables in enumerate(nodes):
        there: Counter[tuple[int, int]] = Counter()
        for name, engine in state.hosted(number).items():
            own = state.applications[name]
            there[index[own.network, own.rate_ips, own.limit_s], engine] += 1
        for key, variable in variables.items():
            model.add_hint(variable, there[key])
