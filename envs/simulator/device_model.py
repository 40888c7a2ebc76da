"""A device and its networks as the model sees them: configurations in, measurements out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.catalog.boards import board, board_names
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable
from envs.simulator.machine import Machine, machine_of, plain_machine
from envs.simulator.parameters import NAMES, ParameterSet, drawn, nominal
from envs.simulator.response import Response, respond
from envs.simulator.tables import COSTS, DLA, POSITIONS, Contexts, contexts_of, position_of
from envs.spec.measurement import MeasurementBatch
from envs.spec.network import Network
from envs.spec.space import ConfigurationSpace

#: Standard deviation of the logarithm by which one engine's time departs from what its layers say: which kernels the builder picks for a
#: batch size is not in the layers.
ENGINE_SPREAD = 0.05

#: The same for all batch sizes of a network on one accelerator of a plain computer: how well a library runs a network there depends on much
#: that is not in its layers, and what INT8 brings differs from one to the next (1.3 to 3.6 times, recordings in `envs/traces/data`).
NETWORK_SPREAD = 0.4

#: By how much a configuration of a board, and of a plain computer, is believed to depart from all that the model could say of it, whatever its
#: parameters (standard deviation of a logarithm). On a plain computer the recordings in `envs/traces/data` say how much; no public data
#: says it of a board, where engines that depart from their layers take in most.
DISCREPANCY, PLAIN_DISCREPANCY = 0.01, 0.03

#: What a window scatters by even if it is long, as standard deviations of the logarithms of throughput, 99th percentile and power (averaged
#: over many readings of an INA3221, in steps of 0.4 W); and what is added for a window of a single request, falling with the root of their number.
#: Repeated windows of the recordings in `envs/traces/data` (100 to 300 requests) scatter by 1 % in throughput and 3 % in the percentile.
NOISE, NOISE_OF_ONE = (0.004, 0.006, 0.012), (0.05, 0.3, 0.05)

#: Length of a window where nothing else is said [s].
WINDOW_S = 3.0


@dataclass(frozen=True)
class DeviceModel:
    """What can be known before measuring: the machine, the space, and the layers of each tenant's network [T].

    Letters: N configurations, C parameter sets, Q = 2 T + 1 quantities.
    """

    machine: Machine
    space: ConfigurationSpace
    networks: tuple[LayerTable, ...]

    def __post_init__(self) -> None:
        if len(self.networks) != self.space.shape[0]:
            raise OptionError(
                f"{len(self.networks)} layer tables for {self.space.shape[0]} tenants: give one for each"
            )

    @property
    def has_power(self) -> bool:
        return self.machine.architecture != "cpu"

    @property
    def discrepancy(self) -> float:
        return DISCREPANCY if self.has_power else PLAIN_DISCREPANCY

    @property
    def rates_ips(self) -> tuple[float, ...]:
        """[T]"""
        return tuple(tenant.rate_ips for tenant in self.space.workload.tenants)

    def nominal(self) -> Contexts:
        """One context, with the fitted parameters."""
        return self.contexts(nominal(self.machine.architecture))

    def contexts(self, parameters: ParameterSet) -> Contexts:
        """One context a parameter set."""
        return contexts_of(
            self.machine,
            self.space.device.accelerators,
            list(self.networks),
            self.space.batches,
            parameters,
            self.rates_ips,
        )

    def drawn(self, rng: np.random.Generator, count: int, width: float = 1.0) -> Contexts:
        """`count` contexts as they may be: uncertain parameters, and engines that depart from their layers."""
        contexts = self.contexts(
            drawn(self.machine.architecture, rng.standard_normal((count, len(NAMES))), width)
        )
        contexts = departed(
            contexts, rng.standard_normal((2, *contexts.table.shape[1:])), ENGINE_SPREAD * width
        )
        if self.machine.architecture == "cpu":
            every = rng.standard_normal((2, *contexts.table.shape[1:-1], 1)) + np.zeros(
                contexts.table.shape[-1]
            )
            contexts = departed(contexts, every, NETWORK_SPREAD * width)
        return contexts

    def slots(
        self, placements: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Placements [N, T, A, 2] in the positions of the model: instances and batch levels, [N, T, 4] each."""
        shape = (len(placements), self.space.shape[0], POSITIONS)
        instances, levels = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        positions = [position_of(each) for each in self.space.device.accelerators]
        instances[:, :, positions] = placements[..., 0]
        levels[:, :, positions] = np.searchsorted(self._sizes, placements[..., 1])
        return instances, np.minimum(levels, len(self._sizes) - 1)

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        return np.array(self.space.batches)

    def response(self, contexts: Contexts, placements: npt.NDArray[np.integer]) -> Response:
        """What each configuration gives in each context, contexts slowest: C x N rows."""
        instances, levels = self.slots(placements)
        count = len(contexts)
        rows = np.repeat(np.arange(count), len(placements))
        return respond(
            contexts, rows, np.tile(instances, (count, 1, 1)), np.tile(levels, (count, 1, 1))
        )

    def logarithms(self, contexts: Contexts, placements: npt.NDArray[np.integer]) -> FloatArray:
        """[C, Q, N]: log throughput of each tenant, log p99 of each, log power (NaN where the device has no rails)."""
        logs = logarithms(self.response(contexts, placements))
        if not self.has_power:
            logs[:, -1] = np.nan
        return logs.reshape(len(contexts), len(placements), -1).transpose(0, 2, 1)

    def batch(
        self, contexts: Contexts, placements: npt.NDArray[np.integer], window_s: float = WINDOW_S
    ) -> MeasurementBatch:
        """Without noise, of a single context."""
        found = self.response(contexts, placements)
        power = found.power_w if self.has_power else np.full(len(placements), np.nan)
        cost = np.full(len(placements), window_s)
        return MeasurementBatch(
            found.throughput_ips,
            found.p99_ms,
            power,
            cost,
            power * cost,
            np.zeros(len(placements), dtype=bool),
        )


def logarithms(found: Response) -> FloatArray:
    """[R, Q]"""
    with np.errstate(divide="ignore"):
        power = np.log(found.power_w)
        return np.concatenate(
            [
                np.log(found.throughput_ips),
                np.log(found.p99_ms),
                np.where(power > -np.inf, power, np.nan)[:, None],
            ],
            axis=1,
        )


def noise_spread(throughput_ips: FloatArray, window_s: float = WINDOW_S) -> FloatArray:
    """Standard deviations [..., Q] of the logarithms of what a window gives, from throughputs [..., T]."""
    requests = np.maximum(np.asarray(throughput_ips) * window_s, 4.0)
    late, served = (
        np.hypot(floor, one / np.sqrt(requests))
        for floor, one in zip(NOISE[1::-1], NOISE_OF_ONE[1::-1], strict=True)
    )
    power = np.hypot(NOISE[2], NOISE_OF_ONE[2] / np.sqrt(requests.sum(axis=-1, keepdims=True)))
    return np.concatenate([served, late, power], axis=-1)


def departed(contexts: Contexts, normals: FloatArray, spread: float) -> Contexts:
    """Every engine faster or slower by a factor of its own, from normal numbers [2, C, T, P, N] (for the GPU's part and the DLA's)."""
    on_gpu, on_dla = np.exp(spread * normals)
    for factor in (on_gpu, on_dla):  # both DLA cores run the same engine
        factor[:, :, DLA] = factor[:, :, DLA][:, :, :1]
    table = contexts.table.copy()
    for name, factor in (
        ("gpu_s", on_gpu),
        ("exclusive_s", on_gpu),
        ("gpu_j", on_gpu),
        ("dla_s", on_dla),
        ("cv_j", on_dla),
    ):
        table[COSTS.index(name)] *= factor
    return replace(contexts, table=table)


def model_for(
    space: ConfigurationSpace, networks: tuple[LayerTable, ...] | None = None
) -> DeviceModel:
    """The model of a space's own device: a plain computer, or a catalogued board by its module's name and power mode.

    Args:
        networks: [T] layers; without them each network is taken for layers that are all alike.

    Raises:
        OptionError: nothing is known of the device.
    """
    tables = networks or tuple(even_layers(tenant.network) for tenant in space.workload.tenants)
    if all(name.startswith("cpu_") for name in space.device.accelerator_names):
        return DeviceModel(plain_machine(space.device.cores), space, tables)
    for name in board_names():
        if board(name).module == space.device.name:
            return DeviceModel(machine_of(name, space.device.power_mode), space, tables)
    raise OptionError(
        f"device.name={space.device.name!r} is no board that the model knows: choose from {', '.join(board_names())}"
    )


def even_layers(network: Network) -> LayerTable:
    """Layers for a network of which only totals are known: all alike, none of them depthwise."""
    count = max(network.layers, 1)
    every = np.full(count, 1.0)
    inputs, outputs = (
        float(sum(math.prod(spec.shape) for spec in specs))
        for specs in (network.inputs, network.outputs)
    )
    return LayerTable(
        name=network.name,
        kind=np.zeros(count, dtype=np.int8),
        macs=every * network.macs / count,
        weights=every * network.weight_bytes / 4 / count,
        reads=every * network.activation_bytes / 8,
        writes=every * network.activation_bytes / 8,
        reduction=every * 500,
        channels=every * 100,
        dla=np.ones(count, dtype=bool),
        inputs=inputs,
        outputs=outputs,
    )
