"""Mappings in engines: nodes have the name of their accelerator in front, so that patterns fit.

TensorRT's parser names a layer after its ONNX node, with a number behind further layers of one node
(onnx/onnx-tensorrt, ImporterContext.cpp). trtexec and nvinfer give devices and precisions to these
layers, before TensorRT fuses them. trtexec of TensorRT 8.6 takes exact names; since 10 a name may
have one `*`; commas part names, and quotation marks go (NVIDIA/TensorRT, samples/common:
sampleEngines.cpp, sampleOptions.cpp, sampleUtils.cpp at 8.6, 10.3, 10.7 and 11.1). nvinfer takes
exact names (DeepStream, nvdsinfer_model_builder.cpp).
"""

import copy
import re
from pathlib import Path
from typing import Any

from envs.runtimes.tensorrt.graph import for_dla, read, save
from envs.runtimes.tensorrt.part_specs import part_specs
from envs.runtimes.tensorrt.placing import part_of_tensors
from envs.spec import ACCELERATORS, Kind
from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model


def parts_of(model: Model) -> tuple[str, ...]:
    """Return the accelerators of the parts of a mapping, each once; none without a mapping."""
    mapping = model.accelerator.mapping
    return () if mapping is None else tuple(dict.fromkeys(mapping.accelerators))


def device_type(name: str) -> str:
    """Return TensorRT's word for the device of an accelerator."""
    return "DLA" if ACCELERATORS[name].kind is Kind.DLA else "GPU"


def named_graph(model: Model, build: BuildOptions) -> Any:
    """Return the graph of an engine with a mapping, each node named `ACCELERATOR/NUMBER_NAME`.

    A node that is not in the file, because the graph was changed for a DLA, belongs to the part of
    the next node that is.

    Raises:
        OptionError: the network has too few layer groups for the mapping.
        NetworkError: the graph cannot be read or prepared.
    """
    mapping = model.accelerator.mapping
    assert mapping is not None
    names = mapping.accelerators
    part_of = part_of_tensors(model.path, part_specs(mapping, [ACCELERATORS[n] for n in names]))
    made = build.calibrated.get(model.name)
    if made is not None and made.graph is not None:
        graph = copy.deepcopy(made.graph)
    else:
        graph = read(model.path)
        graph = graph if model.dla_core is None else for_dla(graph, model.batch).model
    nodes, part = list(graph.graph.node), len(names) - 1
    for number in reversed(range(len(nodes))):
        node = nodes[number]
        part = next((part_of[name] for name in node.output if name in part_of), part)
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", node.name or node.op_type)
        node.name = f"{names[part]}/{number:04d}_{plain}"
    return graph


def write_named(model: Model, build: BuildOptions, target: Path) -> None:
    """Write the graph of an engine with a mapping."""
    save(named_graph(model, build), target)


def layer_flags(model: Model, build: BuildOptions) -> list[str]:
    """Return trtexec's flags for where layers run, and how precisely; none without a mapping."""
    parts = parts_of(model)
    flags: list[str] = []
    if not parts:
        return flags
    names = {part: [f"{part}/*"] for part in parts}
    if build.tensorrt == "8.6":
        every = [node.name for node in named_graph(model, build).graph.node]
        names = {part: [each for each in every if each.startswith(f"{part}/")] for part in parts}
    if model.dla_core is not None:
        pairs = [f"{name}:{device_type(part)}" for part in parts for name in names[part]]
        flags.append(f"--layerDeviceTypes={','.join(pairs)}")
    precisions = build.part_precisions(model)
    others = [part for part in parts if precisions[part] != build.precision(model)]
    if others:
        pairs = [f"{name}:{precisions[part]}" for part in others for name in names[part]]
        flags += ["--precisionConstraints=prefer", f"--layerPrecisions={','.join(pairs)}"]
    return flags


def nvinfer_layers(model: Model, build: BuildOptions) -> str:
    """Return the value of nvinfer's `layer-device-precision`."""
    precisions = build.part_precisions(model)
    items = []
    for node in named_graph(model, build).graph.node:
        part = node.name.partition("/")[0]
        items.append(f"{node.name}:{precisions[part]}:{device_type(part).lower()}")
    return ";".join(items)


def mapping_advice(models: list[Model]) -> list[str]:
    """Return what whoever builds and serves engines with mappings must know."""
    mapped = [model for model in models if parts_of(model)]
    if not mapped:
        return []
    names = ", ".join(model.name for model in mapped)
    parts = [
        f"{names}: the network is divided among accelerators. In networks/mapped/ every node has"
        " the name of its accelerator in front, as in dla0/0003_Conv, and build.sh gives each layer"
        " its device and precision by that name. TensorRT fuses layers afterwards and reports a"
        " fused layer by the names of its parts. The precisions of layers are preferences. What no"
        " flag can say: a layer that TensorRT's parser adds without a name goes to the DLA if that"
        " takes it, and a layer that a DLA does not take goes to the GPU. Nobody has run these"
        " command lines on a board yet."
    ]
    if any(model.dla_core is not None for model in mapped):
        parts.append(
            "Look into layers/*.json before you serve: a part on a DLA is one ForeignNode, and all"
            " names in it begin with that DLA."
        )
    return parts
