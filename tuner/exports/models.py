"""The exported models, one for each tenant and accelerator, with names that are safe as paths."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from envs.graph.onnx_file import read_whole
from envs.graph.reading import read_graph
from envs.optional import optional_import
from envs.runtimes.tensorrt.graph import for_dla, read, save, shapes_of
from envs.spec import (
    Accelerator,
    Configuration,
    ConfigurationSpace,
    Kind,
    Network,
    TensorSpec,
)
from tuner.exports.facts import Facts, facts_of

#: The longest name of a graph.
MAX_NAME = 80

#: Above this a protobuf file must keep its weights beside it (protobuf, "Size limits": 2 GiB).
MAX_PROTOBUF = 2**31 - 2**20


@dataclass(frozen=True)
class Model:
    """One tenant on one accelerator.

    An engine for the GPU cannot serve a DLA, nor one precision another: each is a model of its own.

    Attributes:
        name: of its folder and files.
        graph: name of its network's ONNX file, which the models of a tenant share.
        tenant: the tenant's own name, which may be any text.
        position: of the tenant in the workload.
        network: the network.
        path: the ONNX file it was read from.
        accelerator, instances, batch: of the configuration.
        inputs, outputs: with whole shapes [batch, ...].
        facts: about the ONNX file.
    """

    name: str
    graph: str
    tenant: str
    position: int
    network: Network
    path: Path
    accelerator: Accelerator
    instances: int
    batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: Facts

    @property
    def dla_core(self) -> int | None:
        """Return the DLA core that it, or a part of it, runs on; None for none."""
        return self.accelerator.dla_core

    @property
    def on_cpu(self) -> bool:
        """Return True if it runs on a processor."""
        return self.accelerator.kind is Kind.CPU

    @property
    def static(self) -> bool:
        """Return True if it takes no other batch.

        A DLA has no dynamic shapes (NVIDIA, TensorRT developer guide, "Working with DLA").
        """
        return self.dla_core is not None or not self.facts.free_batch

    @property
    def has_shared(self) -> bool:
        """Return True if an output has no batch, so that a server cannot split its batches."""
        return any(spec.shared for spec in self.outputs)


def models_of(
    space: ConfigurationSpace,
    configuration: Configuration,
    paths: Sequence[Path],
    facts: Sequence[Facts] | None = None,
) -> list[Model]:
    """Return a model for each slot of a valid configuration.

    Args:
        space: of the configuration.
        configuration: a valid one.
        paths: [T], the ONNX files of the tenants.
        facts: [T], about these files; read from them if None.
    """
    if facts is None:
        facts = [facts_of(path) for path in paths]
    graphs = safe_names(space.workload.names)
    found = []
    for tenant, accelerator, instances, batch in configuration.slots():
        network, path = space.workload.tenants[tenant].network, paths[tenant]
        runs_on = space.device.accelerators[accelerator]
        inputs, outputs = whole_shapes(network, path, batch, facts[tenant])
        name, title = f"{graphs[tenant]}_{runs_on.name}", space.workload.names[tenant]
        origin = (name, graphs[tenant], title, tenant, network, path)
        found.append(Model(*origin, runs_on, instances, batch, inputs, outputs, facts[tenant]))
    return found


def whole_shapes(
    network: Network, path: Path, batch: int, facts: Facts
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return inputs and outputs with their batch.

    A file with a fixed batch is read again: its outputs need not have the batch in front.
    """
    if facts.free_batch or facts.unshaped:
        return tuple(_batched(spec, batch) for spec in network.inputs), tuple(
            _batched(spec, batch) for spec in network.outputs
        )
    shapes = read_graph(path)[0].shapes
    inputs, outputs = (
        tuple(replace(spec, shape=shapes[spec.name]) for spec in specs)
        for specs in (network.inputs, network.outputs)
    )
    return inputs, outputs


def _batched(spec: TensorSpec, batch: int) -> TensorSpec:
    return spec if spec.shared else replace(spec, shape=(batch, *spec.shape))


def safe_names(names: Iterable[str]) -> list[str]:
    """Return names of letters, digits, `_`, `-` and `.` that are not paths.

    They differ from each other even where case is ignored.
    """
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
    """Return a function that writes a copy of an ONNX file, with its weights inside if they fit."""

    def write(target: Path) -> None:
        onnx = optional_import("onnx", "networks")
        model = read_whole(source)
        weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
        apart = (
            {"save_as_external_data": True, "location": f"{target.name}.data"}
            if weights > MAX_PROTOBUF
            else {}
        )
        onnx.save(model, str(target), **apart)

    return write


def dla_network_of(model: Model) -> Callable[[Path], None]:
    """Return a function that writes the graph from which a DLA's engine is built.

    It is the graph that the configuration was measured with.
    """

    def write(target: Path) -> None:
        save(for_dla(read(model.path), model.batch).model, target)

    return write


def dla_outputs(model: Model) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the outputs of that graph, by name.

    [batch, features] may have become [batch, features, 1, 1].
    """
    shapes = shapes_of(for_dla(read(model.path), model.batch).model)
    return {spec.name: shapes[spec.name] for spec in model.outputs}
