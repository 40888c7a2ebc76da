"""Problems of the device model whose spaces can be enumerated."""

from __future__ import annotations

import numpy as np

from envs.catalog.reference_networks import reference_network
from envs.problems.draw import DrawnProblem, described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec import Configuration, ConfigurationSpace, Measurement, Objective, workload_of


def small_model(
    tenants: int = 1,
    batches: tuple[int, ...] = (1, 4),
    most: int = 2,
    board_name: str = "orin_nx_16",
) -> DeviceModel:
    """Return a model whose space can be enumerated, with two tenants as well."""
    tables = tuple(reference_network(name) for name in ("resnet50", "mobilenet_v2")[:tenants])
    workload = workload_of(
        [described(table) for table in tables],
        weights=[float(tenant + 1) for tenant in range(tenants)],
    )
    space = ConfigurationSpace(device_of(board_name, "MAXN"), workload, most, batches)
    return DeviceModel(machine_of(board_name, "MAXN"), space, tables)


def small_problem(
    tenants: int = 1, seed: int = 0, p99_ms: float = 60.0, power_w: float = 18.0
) -> DrawnProblem:
    model = small_model(tenants)
    objective = Objective((p99_ms,) * tenants, power_w)
    return DrawnProblem(
        f"small {seed}", model, objective, model.drawn(np.random.default_rng(seed), 1)
    )


def tried(case, seed: int, configurations: list[Configuration]) -> list[Measurement]:
    session = case.session(seed)
    return [session(each) for each in configurations]
