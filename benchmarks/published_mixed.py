"""Published rows that are not a plain closed loop of one network.

They are engines side by side, power rails, and performance per watt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.published import answer, context, layers_of, machine, software
from benchmarks.published_groups import GPU_AND_DLA, convolution, convolution_ms, group_ms
from benchmarks.published_rows import Row
from envs.arrays import FloatArray
from envs.graph.layer_table import LayerTable
from envs.simulator.parameters import ParameterSet
from envs.simulator.response import respond
from envs.simulator.roofline import REFERENCE_DRAM_BYTE_S
from envs.simulator.tables import Contexts, contexts_of
from envs.spec import accelerator

#: Stand-ins for the unnamed networks of users' reports: (GPU, DLA) and their latencies alone [ms].
STAND_INS = {
    "TensorRT issue 2745": ("ssd_resnet34", "ssd_resnet34", 45.0, 17.0),
    "NVIDIA forum 219770": ("resnet50", "yolov5s_672", 1e3 / 405, 1e3 / 132.7),
}

#: Reports that state how much one DLA engine alone loads the GPU.
LOADED = {"NVIDIA forum 219770": 0.3}

INSTANCES = {
    "gpu+dla0": (1, 1, 0),
    "gpu+dla0+dla1": (1, 1, 1),
    "dla0+dla1": (0, 1, 1),
    "dla0 twice": (0, 2, 0),
}


def _beside(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return the slowdown of the GPU's or the DLA's engine by the others."""
    if row.quantity == "gain":
        contexts = context(row, layers_of(row.network), parameters)
        gpu, dla = (row.gpu_instances, row.gpu_batch), (row.dla_instances, row.dla_batch)
        return (
            answer(contexts, gpu, dla, row.dla_cores).throughput_ips[:, 0]
            / answer(contexts, gpu, dla, 0).throughput_ips[:, 0]
        )
    contexts = _pair(row, parameters)
    count = len(parameters)

    def latency(gpu: int, dla0: int, dla1: int) -> FloatArray:
        instances = np.zeros((count, 2, 4), dtype=np.int64)
        instances[:, 0, 1], instances[:, 1, 2], instances[:, 1, 3] = gpu, dla0, dla1
        given = respond(contexts, np.arange(count), instances, np.zeros_like(instances))
        return given.p50_ms[:, 0 if row.quantity == "gpu_slowdown" else 1]

    alone = latency(1, 0, 0) if row.quantity == "gpu_slowdown" else latency(0, 1, 0)
    return latency(*INSTANCES[row.run]) / alone


def _pair(row: Row, parameters: ParameterSet) -> Contexts:
    """Return the tables of two tenants: one on the GPU, one on the DLA in linear formats.

    Where the report names no network, stand-ins are stretched to its latencies.
    """
    if row.source in LOADED:
        parameters = parameters.with_values(dla_hold=LOADED[row.source])
    on_gpu, on_dla, gpu_ms, dla_ms = STAND_INS.get(row.source, (row.network, row.network, 0.0, 0.0))
    networks = [layers_of(on_gpu), layers_of(on_dla)]
    made = contexts_of(
        machine(row, native=False),
        [accelerator(name) for name in ("tensor", "dla0", "dla1")],
        networks,
        (1,),
        parameters,
    )
    if not gpu_ms:
        return made
    table = made.table.copy()
    for tenant, position, target_ms in ((0, 1, gpu_ms), (1, 2, dla_ms), (1, 3, dla_ms)):
        part = table[:, :, tenant, position]
        part[0] = 0.0  # work is queued ahead for both
        turns = part[-1].copy()
        part *= target_ms * 1e-3 / (part[0] + part[1] + part[3])
        part[-1] = turns
    return replace(made, table=table)


def _per_watt(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return images per joule of the DLA cores over the GPU's, counting power above idle only."""
    network = layers_of(row.network)
    contexts = context(row, network, parameters)
    idle = contexts.idle_gpu_w + contexts.idle_cv_w
    efficiency = []
    for gpu, dla, cores in (
        ((0, 0), (row.dla_instances, row.dla_batch), 2),
        ((row.gpu_instances, row.gpu_batch), (0, 0), 0),
    ):
        given = answer(contexts, gpu, dla, cores)
        efficiency.append(given.throughput_ips[:, 0] / (given.rails_w[:, :2].sum(axis=1) - idle))
    return efficiency[0] / efficiency[1]


def _rails(row: Row, parameters: ParameterSet) -> FloatArray:
    made = machine(row)
    rail = (
        ("gpu", "cpu", "sys").index(row.quantity.split("_")[0])
        if row.quantity.endswith("rail_w")
        else 0
    )
    idle = made.idle_w[rail] * parameters.idle_scale
    if row.run == "triad":
        return made.dram_byte_s * parameters.bandwidth_efficiency / 1e9
    if row.run == "idle":
        return idle
    if row.run == "stress":
        memory = made.dram_byte_s / REFERENCE_DRAM_BYTE_S
        return idle + parameters.busy_soc_w * memory + parameters.gpu_w * made.gpu_power_scale
    given = answer(
        contexts_of(made, [accelerator("tensor")], [_decoder(row)], (1,), parameters),
        (1, 1),
        (0, 0),
        0,
    )
    if row.quantity == "latency_ms":
        return given.p50_ms[:, 0]
    return (
        row.idle_w + given.rails_w[:, rail] - idle
    )  # clocks were locked, which raises the idle power


def _decoder(row: Row) -> LayerTable:
    """Return one token of a language model with as many parameters as the row says.

    All weights are read once, in products of 2048 columns.
    """
    weights, layers = float(row.network), 16 * 7
    one = np.ones(layers)
    each = weights / layers
    return LayerTable(
        "decoder",
        np.full(layers, 3, dtype=np.int8),
        one * each,
        one * each,
        one * 2048.0,
        one * 2048.0,
        one * 2048.0,
        one * 2048.0,
        one < 0,
        1.0,
        1.0,
    )


def _dla_layer(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return the time of a single convolution on a DLA, in linear formats."""
    layers = convolution(*row.network.split())
    return convolution_ms(layers, row.mode, row.precision, software(row, parameters))


def _layer_group(row: Row, parameters: ParameterSet) -> FloatArray:
    """Return the time of a layer group on the GPU or a DLA."""
    network, at = row.network.split(":")
    where = GPU_AND_DLA[bool(row.dla_cores)]
    return group_ms(network, where, int(at), software(row, parameters))


MIXED: dict[str, Callable[[Row, ParameterSet], FloatArray]] = {
    "contention": _beside,
    "dla_layer": _dla_layer,
    "layer_group": _layer_group,
    "dla_watts": _per_watt,
    "rails": _rails,
}
