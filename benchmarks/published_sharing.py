"""Published rows of engines side by side, of engines as `trtexec` builds them, and of PyTorch.

Contexts on one GPU, GPU and DLA cores together with their power, gains of a batch, threads of a
web server. A gain is relative to one instance, or to batch 1, of the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.published import gpu_position, layers_of, machine, software
from benchmarks.published_rows import Row
from envs.arrays import FloatArray
from envs.simulator.parameters import ParameterSet
from envs.simulator.response import Response, respond
from envs.simulator.tables import DLA, POSITIONS, Contexts, contexts_of
from envs.spec import accelerator

#: Host time of a request behind a web server [us]: HTTP, decoding of the picture, pre- and
#: post-processing, and PyTorch's own. It is read off the row with one request in flight.
SERVER_HOST_US = 13_500.0

RAIL_OF = {"gpu_rail_w": 0, "cpu_rail_w": 1, "sys_rail_w": 2}


def engines(
    row: Row, parameters: ParameterSet, gpu: int | None = None
) -> tuple[Contexts, Response]:
    """Return tables and answer of the engines of a row: a tenant for the GPU and one for each DLA.

    Args:
        row: what runs.
        parameters: [C] sets.
        gpu: instances on the GPU; those of the row where not given.
    """
    cores = (0, 1) if row.dla_cores == 2 else (1,) if row.run == "dla1" else (0,)
    cores = cores if row.dla_cores else ()
    chosen = "cuda" if row.precision == "fp32" else "tensor"
    names = ([chosen] if row.gpu_instances else []) + [f"dla{core}" for core in cores]
    sizes = tuple(sorted({batch for batch in (row.gpu_batch, row.dla_batch) if batch}))
    contexts = contexts_of(
        machine(row, native=False),
        [accelerator(name) for name in names],
        [layers_of(row.network)] * 3,
        sizes,
        software(row, parameters),
    )
    count = len(contexts)
    instances = np.zeros((count, 3, POSITIONS), dtype=np.int64)
    levels = np.zeros_like(instances)
    if row.gpu_instances:
        instances[:, 0, gpu_position(row)] = row.gpu_instances if gpu is None else gpu
        levels[:, 0, gpu_position(row)] = sizes.index(row.gpu_batch)
    for core in cores:
        instances[:, 1 + core, DLA.start + core] = row.dla_instances
        levels[:, 1 + core, DLA.start + core] = sizes.index(row.dla_batch)
    return contexts, respond(contexts, np.arange(count), instances, levels)


def _plain(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return a rate [1/s], a latency [ms] or a power [W]."""
    found = engines(row, parameters)[1]
    rates = np.nan_to_num(found.throughput_ips)
    if row.quantity == "dla_ips":
        return rates[:, 1:].max(axis=1)
    if row.quantity in ("power_w", *RAIL_OF):
        rail = RAIL_OF.get(row.quantity)
        return found.power_w if rail is None else found.rails_w[:, rail]
    return rates[:, 0] if row.quantity == "gpu_ips" else rates.sum(axis=1)


def _gain(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return rate, latency or power of the row's instances over those of one."""
    many, one = engines(row, parameters)[1], engines(row, parameters, gpu=1)[1]
    if row.quantity == "latency_gain":
        return many.p50_ms[:, 0] / one.p50_ms[:, 0]
    if row.quantity == "power_gain":
        return many.power_w / one.power_w
    return many.throughput_ips[:, 0] / one.throughput_ips[:, 0]


def _batch_gain(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return the rate at the row's batch over the rate at batch 1."""
    many, one = (engines(each, parameters)[1] for each in (row, replace(row, gpu_batch=1)))
    return many.throughput_ips[:, 0] / one.throughput_ips[:, 0]


def _threads(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return the rate of a web server, or its gain by requests in flight."""
    behind = software(row, parameters).with_values(host_us=SERVER_HOST_US)
    row = replace(row, software="")  # it is in the values already
    return _gain(row, behind) if row.quantity.endswith("gain") else _plain(row, behind)


SHARING: dict[str, Callable[[Row, ParameterSet], FloatArray]] = {
    "contexts": _gain,
    "engines": _plain,
    "builds": _plain,
    "pytorch": _plain,
    "batch": _batch_gain,
    "threads": _threads,
}
