"""Place the layers of a parsed network on the accelerators of a mapping.

TensorRT gives each layer a device type, GPU or DLA, and, where types are not those of the file, a
precision (TensorRT developer guide, "Working with DLA", "Layer-Level Control of Precision").
"""

from __future__ import annotations

from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from envs.graph.partition import partition_of
from envs.runtimes.tensorrt.part_specs import PartSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Kind
from envs.spec.mapping import Mapping

#: Precisions that a layer can be held to, by TensorRT's name of the type. A layer on INT8 is not
#: held: one without a range would have no kernel.
TYPES = {"fp32": "FLOAT", "fp16": "HALF"}


def part_of_tensors(path: Path, parts: Sequence[PartSpec]) -> dict[str, int]:
    """Return the position of the part that makes each tensor of an ONNX file, by its name.

    Raises:
        NetworkError: the file cannot be read.
        OptionError: it has too few layer groups for the parts.
    """
    partition = partition_of(path)
    stops = [each.stop for each in parts if each.stop is not None]
    Mapping(tuple(str(at) for at in range(len(parts))), tuple(stops)).by_group(
        len(partition.groups)
    )
    starts = [partition.groups[stop].start for stop in stops]
    bounds = [0, *starts, len(partition.flow.nodes)]
    return {
        name: part
        for part, (start, stop) in enumerate(pairwise(bounds))
        for node in partition.flow.nodes[start:stop]
        for name in node.output
        if name
    }


def parts_of_layers(parsed: Any, part_of: Lookup[str, int]) -> list[int]:
    """Return the position of the part of each layer of a parsed network [L].

    The parser keeps the names of tensors. A layer none of whose results the file has (a constant, a
    reshape, what the preparation of the graph added) belongs to the next layer that has one: such
    layers stand before the one that reads them.

    Args:
        parsed: an INetworkDefinition.
        part_of: from `part_of_tensors`.
    """
    found: list[int] = []
    waiting = 0
    for position in range(parsed.num_layers):
        layer = parsed.get_layer(position)
        results = (layer.get_output(at) for at in range(layer.num_outputs))
        known = [
            part_of[each.name] for each in results if each is not None and each.name in part_of
        ]
        waiting += 1
        if known:
            found += [known[0]] * waiting
            waiting = 0
    return found + [found[-1] if found else 0] * waiting


def place(
    bindings: Bindings,
    config: Any,
    parsed: Any,
    parts: Sequence[PartSpec],
    part_of: Lookup[str, int],
) -> None:
    """Give each layer the device type of its part, and hold it to the precision of its part.

    What a DLA does not take goes to the GPU. Where the file alone decides the types (from
    TensorRT 11 on), layers are not held.
    """
    trt = bindings.trt
    bindings.let_dla(config)
    floats = [trt.DataType.FLOAT, trt.DataType.HALF]
    if not bindings.strongly_typed:
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
    for position, at in enumerate(parts_of_layers(parsed, part_of)):
        layer, part = parsed.get_layer(position), parts[at]
        on_dla = part.kind is Kind.DLA
        config.set_device_type(layer, trt.DeviceType.DLA if on_dla else trt.DeviceType.GPU)
        results = [layer.get_output(each) for each in range(layer.num_outputs)]
        held = part.precision in TYPES and layer.type != trt.LayerType.CONSTANT
        # Layers of whole numbers, which compute shapes, have one precision only.
        if (
            held
            and not bindings.strongly_typed
            and all(each is not None and each.dtype in floats for each in results)
        ):
            layer.precision = getattr(trt.DataType, TYPES[part.precision])
