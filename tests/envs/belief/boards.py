"""Models of boards with published networks, for tests of what is believed."""

from __future__ import annotations

import numpy as np

from envs.arrays import Placements
from envs.belief.score import score_and_violation
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, Objective, workload_of

NETWORKS = ("resnet50", "mobilenet_v2", "squeezenet1_1")


def model_of(
    tenants: int = 1,
    batches: tuple[int, ...] = (1, 4, 16),
    most: int = 3,
    name: str = "orin_nx_16",
    mode: str = "MAXN",
) -> DeviceModel:
    tables = tuple(reference_network(network) for network in NETWORKS[:tenants])
    workload = workload_of(
        [described(table) for table in tables],
        weights=[float(tenant + 1) for tenant in range(tenants)],
    )
    return DeviceModel(
        machine_of(name, mode),
        ConfigurationSpace(device_of(name, mode), workload, most, batches),
        tables,
    )


def best_of(
    model: DeviceModel, context: Contexts, placements: Placements, objective: Objective
) -> float:
    """Log of the most weighted throughput that keeps the limits."""
    score, violation = score_and_violation(
        model, model.logarithms(context, placements)[0], objective
    )
    return float(score[violation <= 0].max(initial=-np.inf))
