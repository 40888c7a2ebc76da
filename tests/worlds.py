"""A small analytic device, whose measurements are written as a real trace file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Criticality,
    DeviceSpec,
    Failure,
    Measurement,
    Network,
    Objective,
    Origin,
    Outcome,
    Tenant,
    TenantMeasurement,
    TensorSpec,
    Workload,
)
from envs.spec.device import accelerator as accelerator_named
from envs.traces.reader import Trace, read_trace
from envs.traces.schema import row_of
from envs.traces.writer import write_parquet

#: Time of one inference on one core [ms], by accelerator.
SERVICE_MS = {"cpu_fp32": 50.0, "cpu_int8": 16.0}

#: A limit that some of its configurations keep and some break.
LIMIT = Objective((60.0,))


def network(name: str = "small", fixed_batch: int | None = None, scale: float = 1.0) -> Network:
    """Return a network without a file."""
    return Network(
        name=name,
        sha256=(name * 64)[:64],
        macs=int(4e9 * scale),
        weight_bytes=int(1e8 * scale),
        activation_bytes=int(1e7 * scale),
        layers=100,
        inputs=(TensorSpec("input", (3, 8, 8), "float32"),),
        outputs=(TensorSpec("logits", (10,), "float32"),),
        fixed_batch=fixed_batch,
    )


def critical_and_best_effort(
    critical: Network,
    best_effort: Network,
    rate_ips: float = math.inf,
    names: tuple[str, str] = ("critical", "best"),
) -> Workload:
    """Return a critical tenant with its arrivals, and one of best effort."""
    return Workload(
        (
            Tenant(names[0], critical, rate_ips),
            Tenant(names[1], best_effort, criticality=Criticality.BEST_EFFORT),
        )
    )


def board_in_segments(max_instances: int, batches: Sequence[int]) -> ConfigurationSpace:
    """Return the space of `critical` and `other`, best effort, in 4 and 16 segments too."""
    device = DeviceSpec("board", (accelerator_named("tensor"), accelerator_named("dla0")), 4, 1e5)
    workload = critical_and_best_effort(network(), network(), names=("critical", "other"))
    return ConfigurationSpace(
        device.with_segments((4, 16)), workload, max_instances, tuple(batches)
    )


def space(
    tenants: int = 1,
    max_instances: int = 3,
    batches: tuple[int, ...] = (1, 2, 4),
    memory_mib: float = 16_000.0,
    **more: int,
) -> ConfigurationSpace:
    """Return the space of a two-core computer; tenant t has 1 / (t + 1) of the work of tenant 0."""
    device = DeviceSpec(
        "paper computer",
        (accelerator_named("cpu_fp32"), accelerator_named("cpu_int8")),
        cores=2,
        memory_mib=memory_mib,
    )
    workload = Workload(
        tuple(Tenant(f"net{i}", network(f"net{i}", scale=1 / (i + 1))) for i in range(tenants))
    )
    return ConfigurationSpace(device, workload, max_instances, batches, **more)


def respond(
    world: ConfigurationSpace, configuration: Configuration, power: bool = False
) -> Measurement:
    """Return the measurement of a configuration on two cores that are shared evenly.

    A batch b takes b * (0.8 + 0.2 / b) times one inference; more instances than cores slow it.
    """
    slow = max(1.0, configuration.total_instances / 2) * (
        1 + 0.03 * max(0, configuration.total_instances - 2)
    )
    names = world.device.accelerator_names
    rate, worst = np.zeros(world.shape[0]), np.zeros(world.shape[0])
    for tenant, accelerator, instances, batch in configuration.slots():
        batch_ms = SERVICE_MS[names[accelerator]] / (tenant + 1) * (0.8 * batch + 0.2) * slow
        rate[tenant] += 1e3 * instances * batch / batch_ms
        worst[tenant] = max(worst[tenant], batch_ms)
    tenants = tuple(
        TenantMeasurement(
            float(ips),
            float(0.8 * ms),
            float(0.95 * ms),
            float(ms),
            float(0.9 * ms),
            float(1.1 * ms),
            100,
            agreement=1.0,
            agreement_samples=64.0,
        )
        for ips, ms in zip(rate, worst, strict=True)
    )
    watts = 5.0 + 4.0 * configuration.total_instances if power else float("nan")
    return Measurement(
        tenants,
        window_s=3.0,
        origin=Origin.MEASURED,
        power_w=watts,
        energy_j=3 * watts,
        memory_mib=500.0,
        overlap=1.0,
        foreign_share=0.001,
        threads=(1,) * configuration.total_instances,
        apply_s=0.5,
        measure_s=4.0,
        sensor="rapl" if power else "none",
    )


def write_trace(
    path: Path,
    world: ConfigurationSpace,
    keep: float = 1.0,
    failures: dict[Configuration, Failure] | None = None,
    power: bool = False,
) -> Trace:
    """Write a seeded share `keep` of the configurations as a trace, some of them as failures."""
    rng = np.random.default_rng(0)
    rows = []
    for count, row in zip(itertools.count(), world.catalogue, strict=False):
        configuration = Configuration.of(row)
        if rng.random() > keep:
            continue
        outcome: Outcome = (failures or {}).get(configuration) or respond(
            world, configuration, power
        )
        rows.append(row_of(world, configuration, outcome, 1, 1.7e9 + count))
    return write_rows(path, world, rows)


def write_rows(path: Path, world: ConfigurationSpace, rows: list[dict[str, Any]]) -> Trace:
    """Write rows as a trace that says it is complete."""
    metadata = {
        "format": 1,
        "space": world.to_dict(),
        "complete": True,
        "machine": world.device.to_dict(),
        "versions": {},
        "started": "2026-01-01T00:00:00Z",
    }
    write_parquet(path, world, metadata, rows)
    return read_trace(path)
