"""List what `benchmarks.concurrent` asks of the model: boards, frameworks, networks, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.published_clocks import TX2_EMC_MHZ, tx2_machine
from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import Machine, machine_of
from envs.simulator.parameters import SOFTWARE, nominal
from envs.simulator.response import Response
from envs.simulator.tables import COSTS, position_of
from envs.spec import ConfigurationSpace, DeviceSpec, accelerator, workload_of

#: The image classifiers of the catalogue.
CLASSIFIERS = (
    *("alexnet", "densenet121", "efficientnet_b0", "googlenet", "inception_v4", "mobilenet_v2"),
    *("mobilenet_v3_large", "resnet18", "resnet50", "resnet101", "squeezenet1_1", "vgg11"),
)

BATCHES = (1, 2, 4, 8, 16, 32, 64)

#: Highest clock of the TX2's processor [GHz]; two Denver and four Cortex-A57 cores (NVIDIA).
TX2_CPU_GHZ, TX2_CORES = 2.0, 6


@dataclass(frozen=True)
class Framework:
    """Describe how networks are served on a GPU.

    Attributes:
        label: for tables.
        accelerator: `cuda` or `tensor`.
        values: of the parameters of the model.
        precision: of engines for Tensor Cores.
    """

    label: str
    accelerator: str
    values: Mapping[str, float]
    precision: str = "fp16"


FP16 = Framework("TensorRT FP16", "tensor", SOFTWARE["tensorrt"])
INT8 = Framework("TensorRT INT8", "tensor", SOFTWARE["tensorrt"], "int8")
#: Read off an AGX Orin, see `SOFTWARE`; threads of one process hold one interpreter's lock.
THREADS = Framework("eager PyTorch FP32, threads", "cuda", SOFTWARE["pytorch"])
PROCESSES = Framework(
    "eager PyTorch FP32, processes", "cuda", {**SOFTWARE["pytorch"], "launch_lock": 0.0}
)


def xavier_nx(framework: Framework) -> Machine:
    """Return a Xavier NX in its 15 W mode with six cores."""
    return machine_of("xavier_nx", "15W", framework.precision)


def tx2(framework: Framework) -> Machine:
    """Return a machine like a TX2 at its highest clocks; nothing was fitted to a TX2."""
    del framework
    made = tx2_machine(1300.0, TX2_EMC_MHZ)
    return replace(
        made, architecture="pascal", cpu_ghz=TX2_CPU_GHZ, cpu_cores=TX2_CORES, tensor_bytes=2
    )


def model_of(
    machine: Machine, accelerators: Sequence[str], networks: Sequence[str], most: int = 8
) -> DeviceModel:
    """Return the model of a machine with these accelerators, where memory is no limit."""
    device = DeviceSpec(
        "a board", tuple(map(accelerator, accelerators)), machine.cpu_cores, float("inf")
    )
    layers = tuple(reference_network(name) for name in networks)
    workload = workload_of([described(each) for each in layers])
    return DeviceModel(machine, ConfigurationSpace(device, workload, most, BATCHES), layers)


def answers(model: DeviceModel, framework: Framework, placements: FloatArray) -> Response:
    """Return what the model says of configurations [N, T, A, 2] under a framework."""
    values = nominal(model.machine.architecture).with_values(**framework.values)
    return model.response(model.contexts(values), placements)


def rates(
    machine: Machine, framework: Framework, network: str, pairs: Sequence[tuple[int, int]]
) -> FloatArray:
    """Return the inferences a second of (instances, batch) of one network on the GPU."""
    model = model_of(machine, [framework.accelerator], [network])
    placements = np.array(pairs, dtype=np.int16)[:, None, None]
    return answers(model, framework, placements).throughput_ips[:, 0]


def gpu_s(machine: Machine, framework: Framework, network: str) -> float:
    """Return the time that the GPU takes for one sample."""
    model = model_of(machine, [framework.accelerator], [network])
    values = nominal(machine.architecture).with_values(**framework.values)
    at = position_of(model.space.device.accelerators[0])
    return float(model.contexts(values).table[COSTS.index("gpu_s"), 0, 0, at, 0])
