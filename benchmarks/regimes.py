"""The two published regimes of a DLA beside the GPU, and the influence of unchecked assumptions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.published import layers_of
from envs.arrays import FloatArray
from envs.simulator.machine import machine_of
from envs.simulator.parameters import PARAMETERS, SOFTWARE, ParameterSet, check
from envs.simulator.response import Response, respond
from envs.simulator.tables import POSITIONS, contexts_of, position_of
from envs.spec import ACCELERATORS, accelerator

#: Batch sizes of the first regime.
EAGER_BATCHES = (1, 2, 4, 8, 16, 32, 64)

#: The space of one tenant: 29 x 29 x 13 x 13 = 142,129 configurations.
GPU_BATCHES, DLA_BATCHES = (1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8)
GPU_INSTANCES, DLA_INSTANCES = 4, 3

STUDIED = ("resnet50", "ssd_mobilenet_v1", "retinanet_resnet34_1280x768")
MODES = ("MAXN", "30W")

#: A parameter's plausible range is this many of its spreads to either side.
RANGE_SPREADS = 2.0

#: GPU and DLA clocks of a hot module relative to its mode: a step or two below the cap.
HOT_CLOCK = 0.85


def eager_table(parameters: ParameterSet, **changed: float) -> dict[str, FloatArray]:
    """Return the images per second of ResNet-50 on AGX Orin in eager PyTorch, by batch.

    FP32 and mixed precision run alone, together, and with FP16 DLA engines in linear formats.
    """
    slow = parameters.with_values(**{**SOFTWARE["pytorch"], **changed})
    machine = machine_of("agx_orin_64", "MAXN", "fp16", "fp16", dla_native=False)
    network = layers_of("resnet50")
    taken = network.dla.copy()
    taken[-2:] = False  # as exported: a global pool and a product, which fall back
    contexts = contexts_of(
        machine,
        [ACCELERATORS[name] for name in ("cuda", "tensor", "dla0", "dla1")],
        [replace(network, dla=taken)],
        EAGER_BATCHES,
        slow,
    )

    def rates(*used: str) -> FloatArray:
        count = len(EAGER_BATCHES)
        instances, levels = (
            np.zeros((count, 1, POSITIONS), dtype=np.int64),
            np.zeros((count, 1, POSITIONS), dtype=np.int64),
        )
        for name in used:
            instances[:, 0, position_of(accelerator(name))] = 1
            levels[:, 0, position_of(accelerator(name))] = np.arange(count)
        return respond(contexts, np.zeros(count, dtype=np.int64), instances, levels).throughput_ips[
            :, 0
        ]

    choices = {
        "CUDA": ("cuda",),
        "Tensor": ("tensor",),
        "CUDA+Tensor": ("cuda", "tensor"),
        "CUDA+DLA0": ("cuda", "dla0"),
        "DLA0": ("dla0",),
    }
    choices["CUDA+Tensor+DLA0"] = ("cuda", "tensor", "dla0")
    choices["CUDA+Tensor+DLA0+DLA1"] = ("cuda", "tensor", "dla0", "dla1")
    return {name: rates(*used) for name, used in choices.items()}


def native_table(parameters: ParameterSet) -> dict[str, float]:
    """Return images per second of INT8 ResNet-50 on AGX Orin, the DLA in its own formats."""
    contexts = contexts_of(
        machine_of("agx_orin_64", "MAXN"),
        [ACCELERATORS[name] for name in ("tensor", "dla0", "dla1")],
        [layers_of("resnet50")],
        (2, 256),
        parameters.with_values(**SOFTWARE["mlperf"]),
    )
    names = {
        "GPU": (2, 0, 0),
        "DLA0": (0, 2, 0),
        "DLA0+DLA1": (0, 2, 2),
        "GPU+DLA0": (2, 2, 0),
        "GPU+DLA0+DLA1": (2, 2, 2),
    }
    instances, levels = (
        np.zeros((len(names), 1, 4), dtype=np.int64),
        np.zeros((len(names), 1, 4), dtype=np.int64),
    )
    instances[:, 0, 1:] = list(names.values())
    levels[:, 0, 1] = 1
    given = respond(
        contexts, np.zeros(len(names), dtype=np.int64), instances, levels
    ).throughput_ips[:, 0]
    return dict(zip(names, given.tolist(), strict=True))


@dataclass(frozen=True)
class Influence:
    """The influence of one assumption over contexts and limits; shares and losses are fractions.

    Attributes:
        low, high: the range that was tried.
        changed: how often another configuration is best.
        broken: how often the nominal one breaks a limit.
        regret, worst: mean and largest loss of throughput by keeping the nominal one, where it
            breaks no limit.
    """

    name: str
    low: float
    high: float
    changed: float
    broken: float
    regret: float
    worst: float


def space() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return instances and levels [R, 1, 4] of all configurations of one tenant.

    A level is a position in GPU_BATCHES.
    """
    gpu = [(0, 0), *itertools.product(range(1, GPU_INSTANCES + 1), range(len(GPU_BATCHES)))]
    dla = [(0, 0), *itertools.product(range(1, DLA_INSTANCES + 1), range(len(DLA_BATCHES)))]
    every = np.array(list(itertools.product(gpu, gpu, dla, dla))[1:], dtype=np.int64)
    return np.ascontiguousarray(every[:, None, :, 0]), np.ascontiguousarray(every[:, None, :, 1])


def influences(parameters: ParameterSet, advance: Callable[[str], None]) -> list[Influence]:
    """Return the influence of each assumption.

    It is taken over STUDIED networks, MODES, and three limits on latency times three on power.
    """
    instances, levels = space()
    tried = {
        each.name: _range(each.name, float(getattr(parameters, each.name)[0]))
        for each in PARAMETERS.values()
        if each.assumed
    }
    tried["tail"] = _range("tail", float(parameters.tail[0]))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (*tried, "heat")}
    for network, mode in itertools.product(STUDIED, MODES):

        def ask(
            changed: dict[str, float], clock: float = 1.0, network: str = network, mode: str = mode
        ) -> Response:
            machine = machine_of("agx_orin_64", mode)
            machine = replace(
                machine, gpu_ghz=machine.gpu_ghz * clock, dla_ghz=machine.dla_ghz * clock
            )
            made = contexts_of(
                machine,
                [ACCELERATORS[name] for name in ("cuda", "tensor", "dla0", "dla1")],
                [layers_of(network)],
                GPU_BATCHES,
                parameters.with_values(**changed),
            )
            return respond(made, np.zeros(len(instances), dtype=np.int64), instances, levels)

        nominal = ask({})
        least_ms = float(nominal.p99_ms.min())
        top = int(nominal.throughput_ips[:, 0].argmax())
        limits = [
            (factor * least_ms, share * float(nominal.power_w[top]))
            for factor, share in itertools.product((2.0, 8.0, np.inf), (0.5, 0.8, np.inf))
        ]
        chosen = [_best(nominal, *limit) for limit in limits]
        for name, ends in tried.items():
            for end in ends:
                found[name] += _losses(ask({name: end}), chosen, limits)
            advance(f"{network} {mode} {name}")
        found["heat"] += _losses(ask({}, HOT_CLOCK), chosen, limits)
        advance(f"{network} {mode} heat")
    tried["heat"] = (HOT_CLOCK, 1.0)
    return [_influence(name, *tried[name], np.array(found[name])) for name in found]


def _range(name: str, value: float) -> tuple[float, float]:
    known = PARAMETERS[name]
    ends = tuple(
        float(np.clip(value * np.exp(sign * RANGE_SPREADS * known.spread), known.low, known.high))
        for sign in (-1, 1)
    )
    for end in ends:
        check(name, end)
    return ends[0], ends[1]


def _best(given: Response, latency_ms: float, power_w: float) -> int:
    """Return the position of the best configuration within limits; -1 if there is none."""
    rate = np.where(
        (given.p99_ms[:, 0] <= latency_ms) & (given.power_w <= power_w),
        given.throughput_ips[:, 0],
        -1.0,
    )
    return int(rate.argmax()) if rate.max() > 0 else -1


def _losses(
    truth: Response, chosen: list[int], limits: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return for each limit if another configuration is best (1 or 0), and the loss.

    The loss is NaN where the chosen configuration breaks the limit.
    """
    result = []
    for picked, (latency_ms, power_w) in zip(chosen, limits, strict=True):
        best = _best(truth, latency_ms, power_w)
        if picked < 0 or best < 0:
            continue
        within = truth.p99_ms[picked, 0] <= latency_ms and truth.power_w[picked] <= power_w
        loss = (
            1.0 - truth.throughput_ips[picked, 0] / truth.throughput_ips[best, 0]
            if within
            else float("nan")
        )
        result.append((float(best != picked), float(loss)))
    return result


def _influence(name: str, low: float, high: float, found: FloatArray) -> Influence:
    losses = found[~np.isnan(found[:, 1]), 1]
    mean, worst = (
        (float(losses.mean()), float(losses.max())) if len(losses) else (float("nan"), float("nan"))
    )
    return Influence(
        name, low, high, float(found[:, 0].mean()), float(np.isnan(found[:, 1]).mean()), mean, worst
    )
