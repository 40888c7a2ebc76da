"""Critical networks beside best effort on boards: the mixes, and the device model of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.mixes_simulation import Client
from envs.arrays import Placements
from envs.belief.local_search import search
from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_network
from envs.graph.layer_table import LayerTable
from envs.problems.draw import BATCHES, described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.tables import COSTS, position_of
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Objective,
    Tenant,
    Workload,
    accelerator,
)
from envs.spec.criticality import Criticality

#: p99 of the critical beside best effort, over p99 alone.
SLOWDOWN = 1.1

#: Numbers of segments to choose from.
SEGMENTS = (4, 16, 32)

#: Instances of one tenant on one accelerator, at most.
INSTANCES = 4


@dataclass(frozen=True)
class Mix:
    """A critical network beside best effort.

    Attributes:
        share: arrivals, as a share of the closed loop's rate; infinite for a closed loop.
        even: True for arrivals at equal distances.
    """

    name: str
    critical: str
    low: tuple[str, ...]
    share: float = math.inf
    even: bool = False


MIXES = (
    Mix("A, closed loop", "mobilenet_v3_large", ("resnet50",)),
    Mix("B, even arrivals", "yolov8n_640", ("resnet50",), 0.3, even=True),
    Mix("C, Poisson arrivals", "resnet50", ("yolov8n_640",), 0.3),
    Mix("D, Poisson arrivals", "ssd_mobilenet_v1", ("resnet50", "efficientnet_b0"), 0.4),
)

BOARDS = ("agx_orin_64", "agx_xavier")


def model_of(
    name: str, mix: Mix, rate_ips: float, accelerators: Sequence[str] | None
) -> DeviceModel:
    """Return the model of a board with the tenants of a mix."""
    tables = [reference_network(each) for each in (mix.critical, *mix.low)]
    tenants = [Tenant(mix.critical, described(tables[0]), rate_ips)]
    for number, layers in enumerate(tables[1:]):
        low = described(layers)
        tenants.append(Tenant(f"{low.name}_{number}", low, criticality=Criticality.BEST_EFFORT))
    tenants = [
        replace(tenant, weight=1 / rate)
        for tenant, rate in zip(tenants, _alone_ips(name, tables), strict=True)
    ]
    mode = next(iter(board(name).power_modes))
    device = device_of(name, mode)
    if accelerators is not None:
        kept = tuple(each for each in device.accelerators if each.name in accelerators)
        device = replace(device, accelerators=kept)
    return DeviceModel(machine_of(name, mode), _space(device, tenants), tuple(tables))


def _alone_ips(name: str, tables: Sequence[LayerTable]) -> list[float]:
    """Return the rate of each network alone, one instance on the Tensor Cores at a batch of 1."""
    mode = next(iter(board(name).power_modes))
    found = []
    for layers in tables:
        space = _space(device_of(name, mode), [Tenant("one", described(layers))])
        model = DeviceModel(machine_of(name, mode), space, (layers,))
        alone = model.response(model.nominal(), single(space, range(1)))
        found.append(float(alone.throughput_ips[0, 0]))
    return found


def _space(device: DeviceSpec, tenants: Sequence[Tenant]) -> ConfigurationSpace:
    return ConfigurationSpace(
        device.with_segments(SEGMENTS), Workload(tuple(tenants)), INSTANCES, BATCHES
    )


def single(space: ConfigurationSpace, tenants: Sequence[int], batch: int = 1) -> Placements:
    """Return one configuration [1, T, A, 2]: an instance on the Tensor Cores for these tenants."""
    placements = np.zeros((1, *space.shape, 2), dtype=np.int16)
    placements[0, list(tenants), space.device.accelerator_names.index("tensor")] = (1, batch)
    return placements


def client(model: DeviceModel, tenant: int, batch: int) -> Client:
    """Return an instance on the Tensor Cores, alone, by the model."""
    costs = model.nominal().table[
        :, 0, tenant, position_of(accelerator("tensor")), model.space.batches.index(batch)
    ]
    host_s, gpu_s, work_s = (
        costs[COSTS.index(each)] for each in ("host_s", "gpu_s", "exclusive_s")
    )
    return Client(float(host_s), float(work_s), float(gpu_s - work_s))


def chosen(model: DeviceModel, alone_ms: float, margin: float = 0.0) -> Placements:
    """Return the best configuration [1, T, A, 2] that keeps the critical within the slowdown.

    Where only the Tensor Cores are there, the critical keeps its one instance at a batch of 1.
    """
    limit_ms = SLOWDOWN * alone_ms * math.exp(-margin)
    limits = (limit_ms, *(math.inf for _ in model.space.workload.tenants[1:]))
    found = search(model, model.nominal(), Objective(limits), np.random.default_rng(0))
    if len({each.whole for each in model.space.device.accelerators}) == 1:
        own = single(model.space, range(1))[0, 0]
        found = found[(found[:, 0] == own).all(axis=(1, 2))]
    return found[:1]


def clients_of(model: DeviceModel, placements: Placements, cut: bool) -> list[list[Client]]:
    """Return the instances of each network of best effort, in its segments or in one piece."""
    found: list[list[Client]] = [[] for _ in model.networks[1:]]
    for tenant, column, instances, batch in Configuration.of(placements[0]).slots():
        if not tenant:
            continue
        segments = model.space.device.accelerators[column].segments if cut else 1
        one = client(model, tenant, batch)
        more_s = (segments - 1) * float(model.nominal().segment_s[0])
        one = replace(one, host_s=one.host_s + more_s, pieces=segments, first=1, batch=batch)
        found[tenant - 1] += [one] * instances
    return found
