"""Published measurements of Jetson boards, and what the device model predicts for each.

`data/published.csv` holds them, with a source beside every number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.published_rows import Row
from envs.arrays import FloatArray
from envs.catalog.boards import board, power_mode
from envs.catalog.reference_networks import reference_network
from envs.graph.layer_table import LayerTable
from envs.simulator.machine import PRECISION_BYTES, Machine, machine_of
from envs.simulator.parameters import SOFTWARE, ParameterSet
from envs.simulator.response import Response, respond
from envs.simulator.tables import DLA, POSITIONS, Contexts, contexts_of, position_of
from envs.spec import accelerator

#: The positions of CUDA and Tensor Cores in the tables of the model.
CUDA, TENSOR = position_of(accelerator("cuda")), position_of(accelerator("tensor"))


#: Mean length of a SQuAD 1.1 question with its context [tokens]. NVIDIA's BERT computes no padding;
#: the network of the catalogue has 384 tokens.
SQUAD_TOKENS, BERT_TOKENS = 178.0, 384.0

#: Size of a detector's result [numbers] after non-maximum suppression has run on the device.
DETECTIONS = 1400.0

#: Power at the wall over power on the rails, both above idle: supply and converters lose 10 to 15 %
#: (IISWC 2026 artifact).
WALL_LOSS = 1.10

#: Where clocks were capped and not locked, the GPU's governor stays at a resting clock, or at the
#: cap where that is lower, unless the GPU is busy for more than this share of the time. Published
#: streams lie at 0.91 and below, or at 0.96 and above.
RESTING_LOAD = 0.94

#: The resting clock of all unlocked runs, from which `fitting` starts.
RESTING_GHZ = 0.7


#: The memory's clock where a run does not state it: the one that v3.0 states for the same networks
#: in all four scenarios.
UNSTATED_EMC_MHZ = 2133.0

Parameters = Mapping[str, ParameterSet]


def software(row: Row, parameters: ParameterSet) -> ParameterSet:
    """Return parameter sets [C] with the values of the row's software."""
    return parameters.with_values(**SOFTWARE[row.software or "tensorrt"])


def gpu_position(row: Row) -> int:
    """Return the position of the row's GPU instances in the tables of the model."""
    return CUDA if row.precision == "fp32" else TENSOR


@cache
def machine(row: Row, native: bool = True) -> Machine:
    """Return the board of a row in its mode, with the clocks that the row names."""
    precision = row.precision if row.precision in PRECISION_BYTES else "int8"
    made = machine_of(row.board, row.mode, precision, precision, native)
    module = board(row.board)
    emc = power_mode(module, row.mode).emc_mhz
    if row.emc_mhz > 0 or "EMC clock not stated" in row.note:
        emc = row.emc_mhz if row.emc_mhz > 0 else UNSTATED_EMC_MHZ
    return replace(
        made,
        gpu_ghz=row.gpu_mhz / 1e3 if row.gpu_mhz > 0 else made.gpu_ghz,
        dla_ghz=row.dla_mhz / 1e3 if row.dla_mhz > 0 else made.dla_ghz,
        dram_byte_s=module.dram_gb_s * 1e9 * emc / module.emc_max_mhz,
        cpu_ghz=row.cpu_mhz / 1e3 if row.cpu_mhz > 0 else made.cpu_ghz,
        cpu_cores=int(row.cpu_cores) if row.cpu_cores > 0 else made.cpu_cores,
    )


@cache
def layers_of(network: str) -> LayerTable:
    """Return a reference network as the published runs used it."""
    table = reference_network(network)
    if network == "bert_large":
        share = SQUAD_TOKENS / BERT_TOKENS
        attention = (table.weights == 0) & (table.macs > 0)
        scale = np.where(attention, share**2, share)
        return replace(
            table, macs=table.macs * scale, reads=table.reads * share, writes=table.writes * share
        )
    if network in ("retinanet_resnext50", "ssd_resnet34", "ssd_mobilenet_v1"):
        return replace(table, outputs=DETECTIONS)
    return table


def context(
    row: Row, network: LayerTable, parameters: ParameterSet, native: bool = True
) -> Contexts:
    """Return the tables of what a row runs, one context for each parameter set."""
    accelerators = (("tensor",) if row.gpu_instances else ()) + tuple(
        f"dla{core}" for core in range(row.dla_cores)
    )
    sizes = tuple(sorted({batch for batch in (row.gpu_batch, row.dla_batch) if batch}))
    return contexts_of(
        machine(row, native),
        [*map(accelerator, accelerators)],
        [network],
        sizes,
        software(row, parameters),
    )


def answer(contexts: Contexts, gpu: tuple[int, int], dla: tuple[int, int], cores: int) -> Response:
    """Return what (instances, batch) on the Tensor Cores and on some DLA cores give [C]."""
    count = len(contexts)
    instances, levels = (
        np.zeros((count, 1, POSITIONS), dtype=np.int64),
        np.zeros((count, 1, POSITIONS), dtype=np.int64),
    )
    for position, (number, batch) in (
        (TENSOR, gpu),
        *((DLA.start + core, dla) for core in range(cores)),
    ):
        if number:
            instances[:, 0, position] = number
            levels[:, 0, position] = int(np.flatnonzero(contexts.batches == batch)[0])
    return respond(contexts, np.arange(count), instances, levels)


def governed(row: Row, parameters: ParameterSet, resting_ghz: float) -> Row:
    """Return an unlocked run with the clock that its governor chose.

    The load at the cap comes from the first parameter set.
    """
    cap = machine(row).gpu_ghz
    if cap <= resting_ghz:
        return row
    contexts = context(row, layers_of(row.network), ParameterSet(parameters.values[:1]))
    host, gpu = contexts.table[
        :2, 0, 0, TENSOR, int(np.flatnonzero(contexts.batches == row.gpu_batch)[0])
    ]
    rests = row.gpu_instances * gpu <= RESTING_LOAD * (host + gpu)
    return replace(row, gpu_mhz=1e3 * resting_ghz) if rests else row


def predict(
    rows: list[Row], parameters: Parameters, resting_ghz: float = RESTING_GHZ
) -> FloatArray:
    """Return what the model gives for each row under each of C parameter sets [R, C]."""
    result = []
    for row in rows:
        own = parameters[row.architecture]
        result.append(_one(governed(row, own, resting_ghz) if row.unlocked else row, own))
    return np.stack(result)


def _one(row: Row, parameters: ParameterSet) -> FloatArray:
    # Rows that are not a plain closed loop of one network.
    from benchmarks.published_mixed import MIXED
    from benchmarks.published_sharing import SHARING

    special = {**MIXED, **SHARING}
    if row.group in special:
        return special[row.group](row, parameters)
    network = layers_of(row.network)
    contexts = context(row, network, parameters, native=row.run != "linear formats")
    if row.run == "fp16 outputs":
        contexts = _with_fp16_outputs(row, network, contexts, parameters)
    given = answer(
        contexts,
        (row.gpu_instances, row.gpu_batch),
        (row.dla_instances, row.dla_batch),
        row.dla_cores,
    )
    repeats = int(row.run.split()[0]) if row.run.endswith("batches") else 1
    if row.quantity == "latency_ms":
        windows = row.gpu_batch if row.network == "unet3d_kits19" else 1
        return given.p50_ms[:, 0] * repeats / windows
    if row.quantity == "throughput_ips":
        return given.throughput_ips[:, 0]
    idle = contexts.idle_gpu_w + contexts.idle_cv_w + contexts.idle_sys_w
    return row.idle_w + WALL_LOSS * (given.power_w - idle)


def _with_fp16_outputs(
    row: Row, network: LayerTable, contexts: Contexts, parameters: ParameterSet
) -> Contexts:
    """Return the tables of a DLA engine whose outputs are FP16.

    It runs the layers that give them in FP16: here the heads, which have 255 channels.
    """
    heads = network.channels == 255
    parts = []
    for chosen, precision in ((~heads, "int8"), (heads, "fp16")):
        picked = {
            name: getattr(network, name)[chosen]
            for name in (
                "kind",
                "macs",
                "weights",
                "reads",
                "writes",
                "reduction",
                "channels",
                "dla",
            )
        }
        part = replace(network, **picked)
        parts.append(context(replace(row, precision=precision), part, parameters))
    return replace(contexts, table=parts[0].table + parts[1].table)
