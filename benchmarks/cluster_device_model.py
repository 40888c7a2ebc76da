"""Ask the device model about whole nodes of a placement, with everybody who shares the board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.cluster_worlds import ORIN_BOARDS
from benchmarks.figures import Figure, figure
from cluster.placement.feasibility import front_end_time_s
from cluster.placement.state import ClusterState
from cluster.profiles.boards import BATCHES
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, workload_of

#: What is true of a kind of nodes that serves these networks, by the model of all of them.
Truth = Callable[[str, DeviceModel, Sequence[str]], Contexts]


def device_model_figures(state: ClusterState) -> list[Figure]:
    """Return how many applications of Orin boards break their limit by the device model.

    It knows the accelerators' contention and the arrivals, and nothing of the queues that placement
    counts with. Front end and network have what they have there.
    """
    late = [name for node in range(len(state.nodes)) for name in late_together(state, node)]
    return [
        figure("mixed Orin boards: our applications late by the device model of the whole node",
               100 * len(late) / max(len(state.spots), 1), "%", "<= 0")
    ]  # fmt: skip


def late_together(state: ClusterState, number: int, truth: Truth | None = None) -> list[str]:
    """Return the applications of a node whose limit is broken by the model of the whole node.

    Args:
        state: of the cluster.
        number: of the node.
        truth: of the device; None for the model as it was fitted.
    """
    kind, hosted = state.nodes[number].kind, state.hosted(number)
    if not hosted:
        return []
    board, mode = next((b, m) for b, m, _ in ORIN_BOARDS if f"{b}-{m}" == kind.name)
    machine, device = machine_of(board, mode), device_of(board, mode)
    applications = [state.applications[name] for name in hosted]
    tables = tuple(replace(reference_network(a.network), name=a.name) for a in applications)
    workload = workload_of([described(each) for each in tables], [a.rate_ips for a in applications])
    model = DeviceModel(machine, ConfigurationSpace(device, workload, 1, BATCHES), tables)
    columns: dict[str, int] = {}
    for column, each in enumerate(device.accelerators):  # Tensor Cores come before CUDA cores.
        columns.setdefault(each.resource, column)
    placements = np.zeros((1, *model.space.shape, 2), dtype=np.int16)
    for tenant, application in enumerate(applications):
        engine = kind.engines[application.network][hosted[application.name]]
        placements[0, tenant, columns[engine.place]] = (1, engine.batch)
    networks = [each.network for each in applications]
    contexts = model.nominal() if truth is None else truth(kind.name, model, networks)
    p99_s = model.response(contexts, placements).p99_ms[0] / 1e3
    return [
        application.name
        for application, took_s in zip(applications, p99_s, strict=True)
        if took_s + state.rules.network_s
        + front_end_time_s(application.rate_ips, kind, state.rules) > application.limit_s
    ]  # fmt: skip
