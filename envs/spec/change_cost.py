"""Tell what a change of configuration costs: one table, with a source beside each number.

An instance that starts or stops, an engine that is loaded and an engine that is built each take
time. On a GPU one engine serves a network at every batch size, since it has a profile for each; a
DLA needs an engine for each batch size, and both of its cores run the same one. A processor builds
nothing: each of its instances opens a session and reads its own weights. An Edge TPU, which no
runtime opens, is taken for the same; the swaps that it pays while it serves are no change.

Nobody has published how long builds take on an Orin by network, accelerator and batch size. The
numbers below are anchored where something is known, and uncertain by a factor of two; what is built
on a device tells more, see `envs.spec.build_times.BuildTimes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray
from envs.spec.device import Accelerator
from envs.spec.measurement import Place

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace


@dataclass(frozen=True)
class Cost:
    """A number of the table.

    Attributes:
        value: in the unit that the table says.
        log_sd: standard deviation of its logarithm.
        source: where it comes from; `assumed` where nobody has measured it.
    """

    value: float
    log_sd: float
    source: str


_TRACES = "apply_s of the recordings in envs/traces/data, AMD EPYC, ONNX Runtime"

#: Seconds to start an instance: an execution context of TensorRT, or a session on a processor.
CONTEXT_S = Cost(0.2, 0.7, "assumed; NVIDIA/TensorRT issue 2945 reports seconds with TensorRT 8")
SESSION_S = Cost(0.01, 0.7, f"{_TRACES}: 0.02 s with 13.5 MiB of weights")
SESSION_S_MIB = Cost(0.006, 0.3, f"{_TRACES}: 0.4 to 0.7 s with 98 MiB of weights")

#: Seconds to stop an instance, whose running batch ends first.
STOP_S = Cost(0.05, 0.7, "assumed")

#: Seconds to load a plan from local flash, and seconds for each MiB of its weights.
LOAD_S = Cost(0.3, 0.7, "assumed; NVIDIA/TensorRT issue 2217: 5.1 s together with CUDA's start")
LOAD_S_MIB = Cost(0.02, 0.7, "assumed: local flash and a checksum at 50 MiB/s")

#: Share of the requests of a tenant that is served all along which a change beside it delays, while
#: it lasts: instances start on the cores and the GPU that serve.
DELAYED_SHARE = Cost(0.2, 1.0, "assumed; `python -m benchmarks.dynamic --live` measures it")

#: Watts that starting instances takes beside serving, by a part of the module's name: a core of the
#: processor and the memory are busy.
CHANGE_W = {
    "AGX": Cost(5.0, 0.7, "assumed: a core at 2.2 GHz and the memory"),
    "NX": Cost(3.0, 0.7, "assumed"),
    "Nano": Cost(2.0, 0.7, "assumed"),
}
OTHER_CHANGE_W = Cost(10.0, 0.7, "assumed: a core of a plain computer")

#: Seconds that the builder takes whatever the network, and seconds for each layer, whose kernels it
#: times, on a GPU as fast as an AGX Orin's, by precision of the engine.
BUILD_S = Cost(10.0, 0.5, "assumed: the builder's start and the last steps")
BUILD_S_LAYER = {
    "fp32": Cost(0.4, 0.5, "assumed: half of FP16, which times kernels of both precisions"),
    "fp16": Cost(
        0.8,
        0.5,
        "HaX-CoNN (ismetdagli/HaX-CoNN, README): 11 engines of classifiers in about 20 minutes on"
        " an AGX Xavier, 109 s each, with TensorRT 7.1",
    ),
    "int8": Cost(
        1.5,
        0.5,
        "public trtexec log of a YOLOv8 with Q/DQ nodes, 640 x 960, on an AGX Orin 32 GB with"
        " TensorRT 8.4.12: 139 s for some 90 kernels",
    ),
}

#: What each further profile of an engine adds, as a share of the first one's time for its layers.
PROFILE_SHARE = Cost(0.5, 0.5, "assumed; kernels that profiles share are timed once")

#: Seconds to compile an engine for a DLA, and for each layer; the processor does that.
DLA_BUILD_S = {
    "fp16": Cost(
        5.0,
        0.4,
        "branes-ai/graphs, calibrations of nvidia_dla_orin: 21 engines of single layers built and"
        " timed in about 106 s on an AGX Orin, by the times of the files",
    ),
    "int8": Cost(9.0, 0.4, "the same source: about 189 s in INT8"),
}
DLA_BUILD_S_LAYER = Cost(0.5, 0.7, "assumed")

#: Factor on builds for a GPU, by a part of the module's name.
BOARDS = {
    "AGX": Cost(1.0, 0.3, "the numbers above are those of an AGX"),
    "NX": Cost(2.0, 0.4, "assumed: between AGX and Nano"),
    "Nano": Cost(
        4.0,
        0.4,
        "statements of public projects: an image encoder (ViT-B/32, FP16) takes 5 to 15 minutes on"
        " an Orin Nano and 1 to 3 on an AGX Orin, a YOLO11n in FP16 2 to 5 minutes on a Nano",
    ),
}
OTHER_BOARD = Cost(1.0, 0.7, "assumed: a device of another name")

#: Standard deviations of the logarithm of a build: what all builds on a device share (its software,
#: power mode and timing cache), and what is an engine's own. Both are assumed. A timing cache alone
#: makes a factor of 4 to 11 (microsoft/onnxruntime pull request 14767: 34.6 to 7.7 s and 108.6 to
#: 9.4 s on a workstation).
COMMON_SD, OWN_SD = 0.6, 0.4


def change_s(space: ConfigurationSpace, before: IntArray | None, after: IntArray) -> FloatArray:
    """Return the seconds [...] from one configuration to another, where every engine is built.

    Args:
        space: of the configurations.
        before: [..., T, A, 2], what serves; None for nothing.
        after: [..., T, A, 2], broadcast against `before`.
    """
    old = np.zeros_like(after) if before is None else before
    had, want = old[..., 0].astype(np.int64), after[..., 0].astype(np.int64)
    same = old[..., 1] == after[..., 1]
    kept = np.where(same, np.minimum(had, want), 0)
    start_s, load_s = _start_and_load_s(space)
    loaded = (_engines(space, after) & ~_engines(space, old)).sum(axis=-1)
    each = (want - kept) * start_s + (had - kept) * STOP_S.value + loaded * load_s
    seconds: FloatArray = each.sum(axis=(-2, -1))
    return seconds


def engines_of(space: ConfigurationSpace, placements: IntArray) -> BoolArray:
    """Return which engines configurations need, [..., E].

    E = T x A x Z, flat: the engine of a tenant on an accelerator at a batch size. One of a GPU
    stands at the first batch size, those of both DLA cores at the first core. Processors and
    Edge TPUs need none.

    Args:
        space: of the configurations.
        placements: [..., T, A, 2].
    """
    single = _engines(space, placements)
    engines = np.zeros_like(single)
    for position, owner in enumerate(_owners(space)):
        if space.device.accelerators[position].needs_engine:
            engines[..., owner, :] |= single[..., position, :]
    return engines.reshape(*placements.shape[:-3], -1)


def built_engines(space: ConfigurationSpace, is_built: Callable[[Place], bool]) -> BoolArray:
    """Return which engines are there, [E] as in `engines_of`.

    Args:
        space: of the configurations.
        is_built: says it of a place; it is asked only where an engine can be.
    """
    engines = np.zeros((*space.shape, len(space.batches)), dtype=bool)
    for position, owner in enumerate(_owners(space)):
        used = space.device.accelerators[position]
        if owner != position or not used.needs_engine:
            continue
        for tenant in range(space.shape[0]):
            sizes = space.batches_of(tenant, position)
            there = [is_built(Place(tenant, position, size)) for size in sizes]
            if used.on_gpu:
                engines[tenant, position, 0] = all(there)
            else:
                engines[tenant, position, [space.batches.index(size) for size in sizes]] = there
    return engines.ravel()


def build_log_s(space: ConfigurationSpace) -> tuple[FloatArray, float, float]:
    """Return what is known of the seconds that builds take, before any was seen.

    Returns:
        The logarithm of the seconds [E] by engine as in `engines_of`, -inf for one that nobody
        builds; the standard deviation that all builds on a device share; that of each engine.
    """
    seconds = np.zeros((*space.shape, len(space.batches)))
    for position, owner in enumerate(_owners(space)):
        used = space.device.accelerators[position]
        if owner != position or not used.needs_engine:
            continue
        for tenant, each in enumerate(space.workload.tenants):
            sizes = space.batches_of(tenant, position)
            places = [space.batches.index(size) for size in sizes]
            if used.on_gpu:
                took_s = _gpu_build_s(space.device.name, used, each.network.layers, len(sizes))
                seconds[tenant, position, 0] = took_s if sizes else 0.0
            else:
                layers_s = DLA_BUILD_S_LAYER.value * each.network.layers
                seconds[tenant, position, places] = DLA_BUILD_S[used.precision].value + layers_s
    with np.errstate(divide="ignore"):
        return np.log(seconds.ravel()), COMMON_SD, OWN_SD


def _gpu_build_s(device: str, used: Accelerator, layers: int, profiles: int) -> float:
    board = next((cost for part, cost in BOARDS.items() if part in device), OTHER_BOARD)
    timing_s = BUILD_S_LAYER[used.precision].value * layers
    profiled = 1 + PROFILE_SHARE.value * (profiles - 1)
    return board.value * (BUILD_S.value + timing_s * profiled)


def _start_and_load_s(space: ConfigurationSpace) -> tuple[FloatArray, FloatArray]:
    """Return the seconds [T, A] to start an instance, and to load an engine."""
    accelerators = space.device.accelerators
    bytes_4 = np.array([float(each.network.weight_bytes) for each in space.workload.tenants])
    share = np.array([each.weight_bytes / 4 for each in accelerators])
    mib = bytes_4[:, None] / 2**20 * share
    sessions = np.array([not each.needs_engine for each in accelerators])
    session_s = SESSION_S.value + SESSION_S_MIB.value * mib
    start_s = np.where(sessions, session_s, CONTEXT_S.value)
    return start_s, np.where(sessions, 0.0, LOAD_S.value + LOAD_S_MIB.value * mib)


def _engines(space: ConfigurationSpace, placements: IntArray) -> BoolArray:
    """Return the engines in use [..., T, A, Z], those of each accelerator by themselves."""
    levels = np.searchsorted(space.batches, placements[..., 1])
    on_gpu = np.array([each.on_gpu for each in space.device.accelerators])
    levels = np.where(on_gpu, 0, levels)
    used = placements[..., 0] > 0
    engines: BoolArray = used[..., None] & (levels[..., None] == np.arange(len(space.batches)))
    return engines


def _owners(space: ConfigurationSpace) -> list[int]:
    """Return the first accelerator [A] that runs the same engines as each."""
    engines = [each.engine for each in space.device.accelerators]
    return [engines.index(each) for each in engines]
