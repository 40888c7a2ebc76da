"""Small problems on made-up boards, and worlds that answer for them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.catalog.reference_networks import reference_network
from envs.problems.problem import Problem
from envs.problems.sampling import sample_placements
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import machine_of
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Failure,
    FailureKind,
    Measurement,
    Network,
    Objective,
    Origin,
    Outcome,
    TenantMeasurement,
    accelerator,
    workload_of,
)

#: Returns the outcome of a configuration.
World = Callable[[Configuration], Outcome]


def small_space(
    tenants: int = 1,
    accelerators: tuple[str, ...] = ("cuda", "tensor"),
    max_instances: int = 2,
    batches: tuple[int, ...] = (1, 2),
    total: int | None = None,
) -> ConfigurationSpace:
    """Return a space of a board with these accelerators; `total` limits all instances together."""
    networks = [
        Network(f"net{i}", "0" * 64, 10**9, 10**6, 10**6, 10, (), (), None) for i in range(tenants)
    ]
    device = DeviceSpec("board", tuple(accelerator(name) for name in accelerators), 4, 1e6)
    return ConfigurationSpace(device, workload_of(networks), max_instances, batches, total)


def unrelated_model(space: ConfigurationSpace) -> DeviceModel:
    """Return the model of a board that has nothing to do with the worlds below."""
    networks = (reference_network("resnet18"),) * space.shape[0]
    return DeviceModel(machine_of("orin_nano_8", "MAXN_SUPER"), space, networks)


def small_problem(
    space: ConfigurationSpace,
    objective: Objective | None = None,
    keep: int | None = None,
    seed: int = 0,
) -> Problem:
    """List the whole space, or `keep` candidates of it with the default among them."""
    candidates, tenants = space.catalogue, space.shape[0]
    if keep is not None:
        default = space.codes(candidates) == space.codes(space.default().array())
        others = np.random.default_rng(1).permutation(np.flatnonzero(~default))[: keep - 1]
        candidates = candidates[np.append(others, np.flatnonzero(default))]
    objective = objective or Objective((25.0,) * tenants, 30.0)
    return Problem(space, candidates, objective, space.default(), seed, unrelated_model(space))


def open_problem() -> Problem:
    """List a sample of a space; every other valid configuration may be asked, too."""
    space = small_space(tenants=2, max_instances=3)
    candidates = sample_placements(space, np.random.default_rng(0), 40)
    first = np.unique(space.codes(candidates), return_index=True)[1]
    return Problem(
        space,
        candidates[np.sort(first)],
        Objective((25.0, 25.0), 30.0),
        space.default(),
        model=unrelated_model(space),
        open=True,
    )


def measurement(
    throughput_ips: list[float], p99_ms: list[float], power_w: float = 10.0
) -> Measurement:
    """Return a measurement with one entry a tenant."""
    rows = zip(throughput_ips, p99_ms, strict=True)
    tenants = tuple(TenantMeasurement(ips, p99, p99, p99, p99, p99, 100) for ips, p99 in rows)
    return Measurement(tenants, 1.0, Origin.SIMULATED, power_w=power_w)


def smooth(configuration: Configuration) -> Measurement:
    """Answer with diminishing returns of two unequal accelerators that slow each other down.

    The latency grows with the number of inputs in flight.
    """
    flight = configuration.array().astype(float).prod(axis=-1)  # [T, A]
    speed = np.array([60.0, 200.0])
    busy = 1 - np.exp(-flight / np.array([3.0, 5.0]))
    rate = speed * busy / (1 + 0.5 * busy.sum(axis=0)[::-1])
    p99 = np.max(np.where(flight > 0, 1000 * flight / np.maximum(rate, 1e-9), 0.0), axis=1)
    return measurement(rate.sum(axis=1).tolist(), p99.tolist(), float(5 + 12 * busy.sum()))


def unlucky(configuration: Configuration) -> Outcome:
    """Fail for a third of the configurations; read no power for another third."""
    kind = configuration.array().astype(int).sum() % 3
    if kind == 0:
        return Failure(FailureKind.OUT_OF_MEMORY, "full", 1.0)
    outcome = smooth(configuration)
    if kind == 1:
        return outcome
    return measurement(outcome.throughput_ips.tolist(), outcome.p99_ms.tolist(), math.nan)


def hopeless(configuration: Configuration) -> Outcome:
    """Fail for every configuration."""
    return Failure(FailureKind.BUILD_FAILED, "no", 1.0)


def run_search(tuner: Any, world: World, budget: int) -> list[Configuration]:
    """Let `tuner` measure `budget` times; return the configurations that it chose."""
    asked = []
    for _ in range(budget):
        asked.append(tuner.ask())
        tuner.tell(asked[-1], world(asked[-1]))
    return asked
