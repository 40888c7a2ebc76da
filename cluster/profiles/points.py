"""Tell what a node can serve: the front of configurations of each network, with their origin.

A point comes from the device model (simulated), from a recording (replayed) or from a tuning answer
(measured, or whatever it ran on). Placement needs points that use one place with one instance: they
say what a batch takes there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cluster.placement.nodes import Engine, NodeKind, Place
from envs.arrays import BoolArray, FloatArray, Placements
from envs.errors import OptionError
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, Kind, Measurement, Origin
from envs.spec.memory import memory_mib
from envs.traces.reader import Trace
from tuner.answer import Answer

#: The kinds of accelerators that requests share; the others serve one batch after the other.
SHARED_KINDS = frozenset({Kind.CUDA_CORES, Kind.TENSOR_CORES, Kind.CPU})


@dataclass(frozen=True)
class Point:
    """One configuration of a network on a node, and what it gives while requests never end.

    Attributes:
        network: its name.
        configuration: in words, such as `tensor 1x4` (instances x batch).
        resources: what it uses, such as `gpu`, sorted.
        instances: of the only place; 0 where it uses several.
        batch: the same.
        rate_ips: requests a second.
        p99_ms: 99th percentile of latency.
        power_w: of the whole node; NaN where it was not read.
        memory_mib: as `envs.spec.memory` estimates it.
        agreement: with FP32; NaN where it was not measured.
        origin: of the numbers.
    """

    network: str
    configuration: str
    resources: tuple[str, ...]
    instances: int
    batch: int
    rate_ips: float
    p99_ms: float
    power_w: float
    memory_mib: float
    agreement: float
    origin: Origin

    @property
    def batch_s(self) -> float:
        """Return the time of a batch that has its place alone; NaN unless one instance serves."""
        return self.batch / self.rate_ips if self.instances == 1 else math.nan


def front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points that no other beats, among those of one network on the same resources.

    A point is beaten by one that is no worse in rate, p99, power, memory and agreement, and better
    in one of them. What was not measured is worse than anything that was. Several windows of a
    configuration count as their mean.
    """
    points, found = _averaged(points), []
    for group in dict.fromkeys((each.network, each.resources) for each in points):
        own = [each for each in points if (each.network, each.resources) == group]
        costs = np.array(
            [[-p.rate_ips, p.p99_ms, p.power_w, p.memory_mib, -p.agreement] for p in own]
        )
        costs = np.where(np.isnan(costs), np.inf, costs)
        no_worse = (costs[:, None] <= costs[None]).all(axis=2)
        better = (costs[:, None] < costs[None]).any(axis=2)
        beaten = np.asarray((no_worse & better).any(axis=0))
        found += [own[each] for each in np.flatnonzero(~beaten)]
    return tuple(found)


def simulated_profile(model: DeviceModel) -> tuple[Point, ...]:
    """Return the front of a network by the device model; its space has one tenant.

    Raises:
        OptionError: the space has several tenants, or too many configurations to list.
    """
    _check_one_tenant(model.space)
    placements = model.space.catalogue
    batch = model.batch(model.nominal(), placements)
    power = batch.power_w if model.has_power else np.full(len(placements), math.nan)
    return _points(
        model.space, placements, batch.throughput_ips[:, 0], batch.p99_ms[:, 0], power,
        np.full(len(placements), math.nan), ~batch.failed, Origin.SIMULATED,
    )  # fmt: skip


def loss_beside_others(model: DeviceModel, contexts: Contexts | None = None) -> float:
    """Return how many times longer a network takes where all resources of a device run it at once.

    One instance at the smallest batch runs on each; what all together reach is compared with the
    sum of what each reaches alone. Its space has one tenant.

    Args:
        model: of the device and its network.
        contexts: draws of what may be true, over which it is averaged; None for the fitted model.

    Raises:
        OptionError: the space has several tenants.
    """
    _check_one_tenant(model.space)
    space = model.space
    first: dict[str, int] = {}
    for column, each in enumerate(space.device.accelerators):
        if (0, column) not in space.unavailable and space.batches[0] in space.batches_of(0, column):
            first.setdefault(each.resource, column)
    placements = np.zeros((len(first) + 1, *space.shape, 2), dtype=np.int16)
    for row, column in enumerate(first.values()):
        placements[[row, -1], 0, column] = (1, space.batches[0])
    contexts = model.nominal() if contexts is None else contexts
    rates = np.exp(model.logarithms(contexts, placements)[:, 0])
    return max(float((rates[:, :-1].sum(axis=1) / rates[:, -1]).mean()), 1.0)


def replayed_profile(trace: Trace) -> tuple[Point, ...]:
    """Return the front of the only network of a recording.

    Raises:
        OptionError: it has several networks.
    """
    _check_one_tenant(trace.space)
    batch = trace.batch
    return _points(
        trace.space, trace.placements, batch.throughput_ips[:, 0], batch.p99_ms[:, 0],
        batch.power_w, np.full(len(batch), math.nan), ~batch.failed, Origin.REPLAYED,
    )  # fmt: skip


def answer_profile(answer: Answer) -> tuple[Point, ...]:
    """Return the front of everything that tuning one network measured.

    Raises:
        OptionError: the answer is of several networks.
    """
    space = answer.problem.space
    _check_one_tenant(space)
    found: list[Point] = []
    for configuration, outcome in answer.tried:
        if isinstance(outcome, Measurement):
            own = outcome.tenants[0]
            found += _points(
                space, configuration.array()[None], np.array([own.throughput_ips]),
                np.array([own.p99_ms]), np.array([outcome.power_w]), np.array([own.agreement]),
                np.ones(1, dtype=bool), outcome.origin,
            )  # fmt: skip
    return front(found)


def node_kind(
    name: str,
    space: ConfigurationSpace,
    points: Sequence[Point],
    idle_w: float = math.nan,
    front_end_s: float = 0.0,
    front_end_mib: float = 0.0,
    loss: Mapping[str, float] | None = None,
) -> NodeKind:
    """Return what placement needs of a device, from the fronts of its networks.

    Args:
        name: of the kind.
        space: of the device, with any workload.
        points: of all networks; those with one instance on one resource are used.
        idle_w: power of the node at rest, which energy is counted above.
        front_end_s: processor time of a request before the accelerator.
        front_end_mib: memory of an application's front end.
        loss: by network, how many times longer a batch takes beside other accelerators, see
            `loss_beside_others`; None for not at all.

    Raises:
        OptionError: no point can be used.
    """
    places = {
        each.resource: Place(each.resource, each.kind in SHARED_KINDS)
        for each in space.device.accelerators
    }
    engines: dict[str, list[Engine]] = {}
    for point in points:
        if point.instances == 1 and point.rate_ips > 0:
            joules = point.batch_s * (point.power_w - idle_w)
            batch_s = point.batch_s * (loss or {}).get(point.network, 1.0)
            engine = Engine(
                point.resources[0], point.batch, batch_s, point.memory_mib, energy_j=joules
            )
            engines.setdefault(point.network, []).append(engine)
    if not engines:
        raise OptionError(f"{name}: no configuration with one instance on one accelerator is known")
    ways = {network: tuple(own) for network, own in engines.items()}
    memory = space.device.memory_mib
    return NodeKind(name, tuple(places.values()), memory, ways, front_end_s, front_end_mib)


def _points(
    space: ConfigurationSpace,
    placements: Placements,
    rate_ips: FloatArray,
    p99_ms: FloatArray,
    power_w: FloatArray,
    agreement: FloatArray,
    usable: BoolArray,
    origin: Origin,
) -> tuple[Point, ...]:
    """Return the front of configurations [N, 1, A, 2] with their numbers [N]."""
    memory_of, found = memory_mib(space, placements), []
    accelerators = space.device.accelerators
    for row in np.flatnonzero(usable):
        used = [(at, *map(int, each)) for at, each in enumerate(placements[row, 0]) if each[0]]
        words = " + ".join(f"{accelerators[at].name} {n}x{batch}" for at, n, batch in used)
        _, instances, size = used[0] if len(used) == 1 else (0, 0, 0)
        resources = tuple(sorted({accelerators[at].resource for at, _, _ in used}))
        rate, p99, power, memory, agreed = (
            float(each[row]) for each in (rate_ips, p99_ms, power_w, memory_of, agreement)
        )
        found.append(
            Point(
                space.workload.names[0], words, resources, instances, size, rate, p99, power,
                memory, agreed, origin,
            )
        )  # fmt: skip
    return front(found)


def _averaged(points: Sequence[Point]) -> list[Point]:
    """Return one point for each configuration of a network: the mean of its windows."""
    windows: dict[tuple[str, str], list[Point]] = {}
    for each in points:
        windows.setdefault((each.network, each.configuration), []).append(each)
    return [
        replace(
            own[0],
            rate_ips=_mean([each.rate_ips for each in own]),
            p99_ms=_mean([each.p99_ms for each in own]),
            power_w=_mean([each.power_w for each in own]),
            agreement=_mean([each.agreement for each in own]),
        )
        for own in windows.values()
    ]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _check_one_tenant(space: ConfigurationSpace) -> None:
    if space.shape[0] != 1:
        raise OptionError(
            f"a profile is of one network, and this one has {', '.join(space.workload.names)}"
        )
