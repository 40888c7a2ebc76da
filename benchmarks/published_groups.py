"""Published times of layer groups and of single layers on a DLA, and the model's for each.

`data/layer_groups.csv`: GoogLeNet and AlexNet on AGX Xavier in FP16, and what marking a tensor as
an output adds (HaX-CoNN artifact: TensorRT 7.1.3, JetPack 4.5.1, MAXN). The artifact's README says
that the times on the DLA contain the cost of a transition, which is that of an output; without it
they add up to the time of the whole network, and with it to 5 % more. Which layers the eight times
of AlexNet belong to is not stated. They are read as the only division of the file's layers
that gives fc6, fc7 and fc8 the times of reading their weights. `data/dla_layers.csv`: single
convolutions on both DLA cores of an AGX Orin (branes-ai/graphs, MIT), clocks not locked, inputs and
outputs in linear formats. The groups, and the convolutions in INT8 at MAXN, are rows that
`benchmarks.fidelity` fits to, as it does to the whole networks that the groups are parts of.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.graph.layer_table import LAYER_KINDS, LayerTable, part_of
from envs.mappings.costs import GroupCosts
from envs.mappings.model_costs import group_costs
from envs.simulator.group_costs import group_cost
from envs.simulator.machine import Machine, machine_of
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import batch_cost
from envs.simulator.transition_costs import leaving_cost
from envs.spec import accelerator

DATA = Path(__file__).parent / "data"

#: The accelerators of the published layer groups.
GPU_AND_DLA = ("tensor", "dla0")

_LAYER = re.compile(r"(DWConv|Conv2d)\((?:(\d+),)?(\d+),k(\d+),s(\d+)\)")


@dataclass(frozen=True)
class GroupTimes:
    """Published times of the layer groups of a network on one board.

    Attributes:
        network: in the catalogue.
        bounds: [G + 1] the layers at which groups begin, and the number of layers.
        stated_ms: [G, 2] on the GPU and on a DLA.
        transitions_ms: [G] of it on the DLA that are the cost of its ending there.
    """

    network: str
    bounds: tuple[int, ...]
    stated_ms: FloatArray
    transitions_ms: FloatArray | None = None

    @property
    def time_ms(self) -> FloatArray:
        """Return the times [G, 2] without transitions."""
        if self.transitions_ms is None:
            return self.stated_ms
        added = np.stack([np.zeros_like(self.transitions_ms), self.transitions_ms], axis=1)
        return np.asarray(self.stated_ms - added)


@dataclass(frozen=True)
class LayerTime:
    """The published time of one convolution on a DLA [ms]; `words` are its name and input."""

    words: str
    mode: str
    precision: str
    layers: LayerTable
    latency_ms: float


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def published_groups() -> tuple[GroupTimes, ...]:
    """Return the published times of layer groups, one entry a network."""
    rows = [row for row in _rows("layer_groups") if row["quantity"] == "group_ms"]
    found = []
    for network in dict.fromkeys(row["network"] for row in rows):
        on = {
            name: [row for row in rows if (row["network"], row["accelerator"]) == (network, name)]
            for name in GPU_AND_DLA
        }
        first = on["tensor"]
        bounds = (0, *(int(row["stop_layer"]) for row in first))
        times = np.array([[float(row["value"]) for row in on[name]] for name in GPU_AND_DLA]).T
        found.append(GroupTimes(network, bounds, times, _transitions_ms(network, len(times))))
    return tuple(found)


def _transitions_ms(network: str, groups: int) -> FloatArray:
    """Return the cost [G] of an output on the DLA where each group ends; 0 at the last one.

    It is the mean of the published ones for a network without any.
    """
    marked = [
        row
        for row in _rows("layer_groups")
        if (row["quantity"], row["accelerator"]) == ("output_ms", "dla0")
    ]
    own = [float(row["value"]) for row in marked if row["network"] == network]
    mean = float(np.mean([float(row["value"]) for row in marked]))
    return np.array([*(own or [mean] * (groups - 1)), 0.0])


def groups_between(network: str, bounds: Sequence[int]) -> list[LayerTable]:
    """Return the layers of a reference network between these bounds, none of which is in a branch.

    The tensor that crosses is the one that the layer before writes, or its module's concatenation.
    """
    table = reference_network(network)
    return [part_of(table, start, stop) for start, stop in pairwise(bounds)]


def xavier() -> Machine:
    """Return the board of the published groups: FP16 on both accelerators."""
    return machine_of("agx_xavier", "MAXN", "fp16", "fp16")


def modelled(times: GroupTimes, parameters: ParameterSet) -> GroupCosts:
    """Return the model's costs of published groups on the GPU and a DLA."""
    groups = groups_between(times.network, times.bounds)
    return group_costs(groups, [accelerator(name) for name in GPU_AND_DLA], xavier(), parameters)


def group_ms(network: str, accelerator_name: str, at: int, parameters: ParameterSet) -> FloatArray:
    """Return the model's times [C] of a published group on the GPU or a DLA.

    Args:
        network: of the group.
        accelerator_name: one of `GPU_AND_DLA`.
        at: the position of the group.
        parameters: [C] sets.
    """
    bounds = next(each.bounds for each in published_groups() if each.network == network)
    layers = groups_between(network, bounds[at : at + 2])[0]
    where = accelerator(accelerator_name)
    cost = group_cost(where, xavier(), layers, np.ones(1), parameters)
    assert cost is not None, "published groups run on DLAs"
    return np.asarray(1e3 * (cost.host_s + cost.gpu_s + cost.dla_s)[:, 0])


def outputs(parameters: ParameterSet) -> tuple[FloatArray, FloatArray, list[str]]:
    """Return what marking outputs of GoogLeNet adds: published [ms], model [ms], accelerators.

    The output is FP32 in a linear format, which a kernel of the GPU writes.
    """
    linear = replace(xavier(), dla_native=False)
    published, model, names = [], [], []
    for row in _rows("layer_groups"):
        if row["quantity"] != "output_ms":
            continue
        elements = float(reference_network(row["network"]).writes[int(row["first_layer"])])
        source, target = accelerator(row["accelerator"]), accelerator("cuda")
        cost = leaving_cost(source, target, linear, elements, np.ones(1), parameters)
        published.append(float(row["value"]))
        model.append(1e3 * (cost.gpu_s + cost.dla_s).item())
        names.append(row["accelerator"])
    return np.array(published), np.array(model), names


@cache
def published_layers() -> tuple[LayerTime, ...]:
    """Return the published times of single convolutions."""
    return tuple(
        LayerTime(
            f"{row['layer']} {row['input_shape']}",
            row["mode"],
            row["precision"],
            convolution(row["layer"], row["input_shape"]),
            float(row["latency_ms"]),
        )
        for row in _rows("dla_layers")
    )


def layer_ms(given: LayerTime, parameters: ParameterSet) -> float:
    """Return the model's time of a convolution on a DLA in linear formats, without the host's."""
    return convolution_ms(given.layers, given.mode, given.precision, parameters).item()


def convolution_ms(
    layers: LayerTable, mode: str, precision: str, parameters: ParameterSet
) -> FloatArray:
    """Return the model's times [C] for C parameter sets, see `layer_ms`."""
    machine = machine_of("agx_orin_64", mode, precision, precision, False)
    cost = batch_cost(accelerator("dla0"), machine, layers, np.ones(1), parameters)
    return np.asarray(1e3 * (cost.gpu_s + cost.dla_s)[:, 0])


@cache
def convolution(name: str, input_shape: str) -> LayerTable:
    """Return the layer of a name such as `Conv2d(64,128,k3,s2)`; the kernel is padded."""
    found = _LAYER.fullmatch(name)
    if found is None:
        raise ValueError(f"dla_layers.csv: {name} is no convolution")
    kind, read, written, kernel, stride = found.groups()
    depthwise = kind == "DWConv"
    _, channels, height, width = map(int, input_shape.split("x"))
    size, out = int(kernel), int(written)
    reduction = size * size * (1 if depthwise else int(read))
    pixels = -(-height // int(stride)) * -(-width // int(stride))
    one = np.ones(1)
    return LayerTable(
        name=name,
        kind=np.array([LAYER_KINDS.index("depthwise" if depthwise else "conv")]),
        macs=one * pixels * out * reduction,
        weights=one * (out * reduction + out),
        reads=one * channels * height * width,
        writes=one * pixels * out,
        reduction=one * reduction,
        channels=one * out,
        dla=one > 0,
        inputs=float(channels * height * width),
        outputs=float(pixels * out),
    )
