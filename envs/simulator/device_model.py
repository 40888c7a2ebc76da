"""A device and its networks as the model sees them: configurations in, measurements out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from envs.configuration import ConfigurationSpace
from envs.errors import OptionError
from envs.layers import LayerTable
from envs.measurement import MeasurementBatch
from envs.simulator.machine import Machine, plain_machine
from envs.simulator.model import Response, respond
from envs.simulator.parameters import NAMES, FloatArray, ParameterSet, drawn, nominal
from envs.simulator.tables import FEATURES, POSITIONS, Contexts, contexts_of

#: Standard deviation of the logarithm by which one engine's time departs from what its layers say: which kernels the builder picks for a
#: batch size is not in the layers.
ENGINE_SPREAD = 0.05

#: What a window of a few seconds scatters by: standard deviations of the logarithms of throughput, 99th percentile and power. Repeated windows
#: of the recordings in `envs/traces/data` scatter by 1 % in throughput and 3 % in the percentile; power is averaged over many readings of
#: 0.4 W steps (INA3221).
NOISE = (0.01, 0.03, 0.015)


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
            raise OptionError(f"{len(self.networks)} layer tables for {self.space.shape[0]} tenants: give one for each")

    @property
    def has_power(self) -> bool:
        return self.machine.architecture != "cpu"

    def nominal(self) -> Contexts:
        """One context, with the fitted parameters."""
        return self.contexts(nominal(self.machine.architecture))

    def contexts(self, parameters: ParameterSet) -> Contexts:
        """One context a parameter set."""
        return contexts_of(self.machine, self.space.device.accelerator_names, list(self.networks), self.space.batches, parameters)

    def drawn(self, rng: np.random.Generator, count: int, width: float = 1.0) -> Contexts:
        """`count` contexts as they may be: uncertain parameters, and engines that depart from their layers."""
        contexts = self.contexts(drawn(self.machine.architecture, rng.standard_normal((count, len(NAMES))), width))
        return departed(contexts, rng.standard_normal((2, *contexts.table.shape[1:])), ENGINE_SPREAD * width)

    def slots(self, placements: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Placements [N, T, A, 2] in the positions of the model: instances and batch levels, [N, T, 4] each."""
        shape = (len(placements), self.space.shape[0], 4)
        instances, levels = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        positions = [POSITIONS[name] for name in self.space.device.accelerator_names]
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
        return respond(contexts, rows, np.tile(instances, (count, 1, 1)), np.tile(levels, (count, 1, 1)))

    def logarithms(self, contexts: Contexts, placements: npt.NDArray[np.integer]) -> FloatArray:
        """[C, Q, N]: log throughput of each tenant, log p99 of each, log power (NaN where the device has no rails)."""
        logs = logarithms(self.response(contexts, placements))
        return logs.reshape(len(contexts), len(placements), -1).transpose(0, 2, 1)

    def batch(self, contexts: Contexts, placements: npt.NDArray[np.integer], window_s: float = 3.0) -> MeasurementBatch:
        """Without noise, of a single context."""
        found = self.response(contexts, placements)
        power = found.power_w if self.has_power else np.full(len(placements), np.nan)
        cost = np.full(len(placements), window_s)
        return MeasurementBatch(found.throughput_ips, found.p99_ms, power, cost, power * cost, np.zeros(len(placements), dtype=bool))


def logarithms(found: Response) -> FloatArray:
    """[R, Q]"""
    with np.errstate(divide="ignore"):
        power = np.log(found.power_w)
        return np.concatenate([np.log(found.throughput_ips), np.log(found.p99_ms), np.where(power > -np.inf, power, np.nan)[:, None]], axis=1)


def noise_variance(tenants: int) -> FloatArray:
    """[Q]"""
    return np.array([NOISE[0]] * tenants + [NOISE[1]] * tenants + [NOISE[2]]) ** 2


def departed(contexts: Contexts, normals: FloatArray, spread: float) -> Contexts:
    """Every engine faster or slower by a factor of its own, from normal numbers [2, C, T, P, N] (for the GPU's part and the DLA's)."""
    on_gpu, on_dla = np.exp(spread * normals)
    table = contexts.table.copy()
    for name, factor in (("gpu_s", on_gpu), ("exclusive_s", on_gpu), ("gpu_j", on_gpu), ("dla_s", on_dla), ("cv_j", on_dla)):
        table[FEATURES.index(name)] *= factor
    return replace(contexts, table=table)


def plain_model(space: ConfigurationSpace, networks: tuple[LayerTable, ...]) -> DeviceModel:
    """A plain computer: its rates are parameters that the first measurements teach."""
    return DeviceModel(plain_machine(space.device.cores), space, networks)
