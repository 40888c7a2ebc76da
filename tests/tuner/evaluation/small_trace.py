"""A small recorded world whose throughput and latency can be worked out on paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from envs.problems.problem import Problem
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Failure,
    FailureKind,
    Measurement,
    Network,
    Origin,
    Outcome,
    TenantMeasurement,
    TensorSpec,
    accelerator,
    workload_of,
)
from envs.traces.reader import Trace, read_trace
from envs.traces.schema import FORMAT, row_of
from envs.traces.writer import write_parquet


def network(name: str) -> Network:
    return Network(
        name,
        "0" * 64,
        10**8,
        10**6,
        10**6,
        10,
        (TensorSpec("x", (3,), "float32"),),
        (TensorSpec("y", (3,), "float32"),),
        None,
    )


def space_of(
    names: tuple[str, ...], max_instances: int, batches: tuple[int, ...]
) -> ConfigurationSpace:
    device = DeviceSpec(
        "Test board", (accelerator("cpu_fp32"), accelerator("cpu_int8")), 2, 64_000.0
    )
    return ConfigurationSpace(
        device, workload_of([network(name) for name in names]), max_instances, batches
    )


def response(configuration: Configuration, tenants: int, power: bool) -> Outcome:
    """Answer with a throughput of 10 an instance, 20 on the second accelerator.

    The p99 latency is 5 ms times instances times batch; a try takes three seconds.
    """
    throughput = [0.0] * tenants
    late = [0.0] * tenants
    for tenant, accelerator_index, instances, batch in configuration.slots():
        throughput[tenant] += 10.0 * (1 + accelerator_index) * instances
        late[tenant] = max(late[tenant], 5.0 * configuration.total_instances * batch)
    if configuration.total_instances == 2 * tenants and tenants == 1 and not power:
        return Failure(FailureKind.OUT_OF_MEMORY, "no memory left", 1.0)
    each = tuple(
        TenantMeasurement(ips, late_ms / 2, late_ms, late_ms, late_ms, late_ms, 100)
        for ips, late_ms in zip(throughput, late, strict=True)
    )
    watts = 10.0 + configuration.total_instances if power else math.nan
    return Measurement(
        each, 1.0, Origin.MEASURED, power_w=watts, energy_j=watts, apply_s=1.0, measure_s=2.0
    )


def small_trace(
    folder: Path,
    names: tuple[str, ...] = ("net",),
    max_instances: int = 2,
    batches: tuple[int, ...] = (1, 2),
    power: bool = False,
    keep: Callable[[Configuration], bool] = lambda _: True,
    **metadata: object,
) -> Trace:
    """Write a trace and read it."""
    space = space_of(names, max_instances, batches)
    configurations = [each for each in map(Configuration.of, space.catalogue) if keep(each)]
    rows = [
        row_of(space, each, response(each, len(names), power), 1, 0.0) for each in configurations
    ]
    facts = {
        "format": FORMAT,
        "space": space.to_dict(),
        "runtime": "onnxruntime",
        "started": "2025-01-02T03:04:05Z",
        "complete": True,
    }
    path = folder / "small.parquet"
    write_parquet(path, space, facts | metadata, rows)
    return read_trace(path)


class InOrder:
    """Asks for the default, then for the candidates as they are listed."""

    def __init__(self, problem: Problem, backwards: bool = False) -> None:
        self.told: list[Outcome] = []
        rest = [
            each for each in map(Configuration.of, problem.candidates) if each != problem.default
        ]
        self._queue = [problem.default, *(reversed(rest) if backwards else rest)]

    def ask(self) -> Configuration:
        return self._queue[min(len(self.told), len(self._queue) - 1)]

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        self.told.append(outcome)


def backwards(problem: Problem) -> InOrder:
    return InOrder(problem, backwards=True)
