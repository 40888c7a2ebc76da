"""What is exported: one model for each tenant and accelerator, under names that are safe to write wherever the network's own came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from envs.graph.reading import read_graph
from envs.optional import optional_import
from envs.runtimes.tensorrt.graph import for_dla, read, save, shapes_of
from envs.spec.network import Network, TensorSpec
from envs.spec.space import Configuration, ConfigurationSpace

#: Longest part of a file name that a network's name becomes.
MAX_NAME = 80

#: Above this a protobuf file must keep its weights beside it (protobuf, "Size limits": 2 GiB).
MAX_PROTOBUF = 2**31 - 2**20


@dataclass(frozen=True)
class Model:
    """One tenant on one accelerator. A plan for the GPU cannot serve a DLA, nor one precision another: so each is a model of its own.

    Attributes:
        name: of its folder and files.
        graph: of its network's ONNX file, which the models of a tenant share.
        tenant, position: the tenant's own name, which may be any text, and its place among the tenants.
        network, path: what is served, and the file it was read from.
        accelerator, instances, batch: its place in the configuration.
        inputs, outputs: with whole shapes [batch, ...].
    """

    name: str
    graph: str
    tenant: str
    position: int
    network: Network
    path: Path
    accelerator: str
    instances: int
    batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def dla_core(self) -> int | None:
        """Which DLA core it runs on; None on any other accelerator."""
        return {"dla0": 0, "dla1": 1}.get(self.accelerator)

    @property
    def on_cpu(self) -> bool:
        return self.accelerator.startswith("cpu_")

    @property
    def static(self) -> bool:
        """Whether it takes its batch and no other: a DLA has no dynamic shapes (NVIDIA, TensorRT developer guide, "Working with DLA")."""
        return self.dla_core is not None or self.network.fixed_batch is not None


def models_of(
    space: ConfigurationSpace, configuration: Configuration, paths: list[Path]
) -> list[Model]:
    """A model for each slot of a valid configuration, in its order; `paths` are the tenants' ONNX files."""
    graphs = safe_names(space.workload.names)
    found = []
    for tenant, place, instances, batch in configuration.slots():
        network, path, accelerator = (
            space.workload.tenants[tenant].network,
            paths[tenant],
            space.device.accelerator_names[place],
        )
        inputs, outputs = whole_shapes(network, path, batch)
        name = f"{graphs[tenant]}_{accelerator}"
        known = (name, graphs[tenant], space.workload.names[tenant], tenant, network, path)
        found.append(Model(*known, accelerator, instances, batch, inputs, outputs))
    return found


def whole_shapes(
    network: Network, path: Path, batch: int
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs with their batch. A file with a fixed one is read again: its outputs need not have the batch in front."""
    if network.fixed_batch is None:
        return tuple(_batched(spec, batch) for spec in network.inputs), tuple(
            _batched(spec, batch) for spec in network.outputs
        )
    shapes = read_graph(path)[0].shapes
    inputs, outputs = (
        tuple(TensorSpec(spec.name, shapes[spec.name], spec.dtype) for spec in specs)
        for specs in (network.inputs, network.outputs)
    )
    return inputs, outputs


def _batched(spec: TensorSpec, batch: int) -> TensorSpec:
    return TensorSpec(spec.name, (batch, *spec.shape), spec.dtype)


def safe_names(names: Iterable[str]) -> list[str]:
    """For each name one of letters, digits, `_`, `-` and `.` that is no path and, even where case is ignored, like no other."""
    found: list[str] = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:MAX_NAME] or "network"
        candidate, number = stem, 1
        while candidate.lower() in (each.lower() for each in found):
            number += 1
            candidate = f"{stem}_{number}"
        found.append(candidate)
    return found


def network_of(source: Path) -> Callable[[Path], None]:
    """Content that is an ONNX file which `read_network` has accepted, with its weights inside wherever they fit."""

    def write(target: Path) -> None:
        onnx = optional_import("onnx", "networks")
        model = onnx.load(str(source))
        weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
        apart = (
            {"save_as_external_data": True, "location": f"{target.name}.data"}
            if weights > MAX_PROTOBUF
            else {}
        )
        onnx.save(model, str(target), **apart)

    return write


def dla_network_of(model: Model) -> Callable[[Path], None]:
    """Content that is the graph from which a DLA's engine is built, the same as where the configuration was measured."""

    def write(target: Path) -> None:
        save(for_dla(read(model.path), model.batch).model, target)

    return write


def dla_outputs(model: Model) -> dict[str, tuple[int, ...]]:
    """Shapes of the outputs of that graph, by name: [batch, features] may have become [batch, features, 1, 1]."""
    shapes = shapes_of(for_dla(read(model.path), model.batch).model)
    return {spec.name: shapes[spec.name] for spec in model.outputs}
