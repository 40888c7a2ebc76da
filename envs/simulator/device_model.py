"""The model of a device and its networks: configurations in, throughput, latency and power out."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray, IntArray, Rows
from envs.catalog.edge_tpus import edge_tpu_profile
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable
from envs.simulator.departures import departed
from envs.simulator.machine import Machine
from envs.simulator.mapping_costs import Divided, Groups, divided_networks
from envs.simulator.parameters import NAMES, ParameterSet, drawn, nominal
from envs.simulator.positions import CORES, EDGE_TPUS, check_positions, position_count, positions_of
from envs.simulator.response import Response, logarithms, respond
from envs.simulator.tables import Contexts, contexts_of
from envs.simulator.unknowns import Unknowns
from envs.simulator.window_noise import WINDOW_S, noise_spread
from envs.spec import ConfigurationSpace, Kind, MeasurementBatch

#: Standard deviation of the logarithm by which the time of one engine departs from its layers: the
#: kernels that the builder picks for a batch size are not in the layers.
ENGINE_SPREAD = 0.05

#: The same for all batch sizes of a network on one accelerator of a plain computer: how well a
#: library runs a network depends on much that is not in its layers, and the gain of INT8 differs
#: from one network to the next (1.3 to 3.6 times, recordings in `envs/traces/data`).
NETWORK_SPREAD = 0.4

#: By how much a configuration of a board, and of a plain computer, is believed to depart from the
#: model with any parameters (standard deviation of a logarithm). The recordings in
#: `envs/traces/data` give it for a plain computer; no public data gives it for a board, where
#: ENGINE_SPREAD covers most of it.
DISCREPANCY, PLAIN_DISCREPANCY = 0.01, 0.03


@dataclass(frozen=True)
class DeviceModel:
    """The knowledge of a device before measuring.

    Attributes:
        machine: its rates.
        space: the configurations of the workload on it.
        networks: [T], the layers of each tenant's network.
        unknowns: what a recording of the device told of it; None before there is one.
        groups: [T], the layer groups of each network, for mappings; empty for those of the
            reference networks, which are known by name.
    """

    machine: Machine
    space: ConfigurationSpace
    networks: tuple[LayerTable, ...]
    unknowns: Unknowns | None = None
    groups: tuple[Groups, ...] = ()

    def __post_init__(self) -> None:
        if len(self.networks) != self.space.shape[0]:
            raise OptionError(
                f"{len(self.networks)} layer tables for {self.space.shape[0]} tenants:"
                " give one for each"
            )
        for tenant, column in np.ndindex(*self.space.shape):
            on_tpu = self.space.device.accelerators[column].kind is Kind.EDGE_TPU
            if on_tpu and (tenant, column) not in self.space.unavailable:
                edge_tpu_profile(self.networks[tenant].name)  # refuses a network without times
        assert self.divided is not None  # refuses mappings that do not fit the networks
        check_positions(self.space.device, self.machine)

    @functools.cached_property
    def divided(self) -> dict[tuple[int, int], Divided]:
        """Return the networks that mappings divide, by (tenant, accelerator).

        Raises:
            OptionError: a mapping does not fit its network, or is not modelled on this device.
        """
        return divided_networks(self.space, self.machine, self.networks, self.groups)

    @property
    def positions(self) -> int:
        """Return X without mappings, whose engines run the kernels of others."""
        return position_count(self.space.device.accelerators, self.machine)

    @property
    def has_power(self) -> bool:
        """Return True if the device has power rails; a plain computer has none."""
        return not self.machine.plain

    def of_tenants(self, tenants: Sequence[int]) -> DeviceModel:
        """Return the model with some tenants alone; what a recording told of all stays behind.

        Args:
            tenants: [T'], ascending.
        """
        networks = tuple(self.networks[tenant] for tenant in tenants)
        unknowns = self.unknowns if len(networks) == len(self.networks) else None
        groups = tuple(self.groups[tenant] for tenant in tenants) if self.groups else ()
        space = self.space.of_tenants(tenants)
        return DeviceModel(self.machine, space, networks, unknowns, groups)

    def noise_spread(
        self, throughput_ips: FloatArray, p99_ms: FloatArray, window_s: float = WINDOW_S
    ) -> FloatArray:
        """Return the scatter of a window of this device, see `noise_spread`; p99_ms is [..., T]."""
        return noise_spread(throughput_ips, window_s, p99_ms if self.machine.plain else None)

    def own_departures(self, placements: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return by how much configurations depart from the model with any parameters.

        Args:
            placements: [N, T, A, 2].

        Returns:
            Mean and variance [Q, N] of the departures of the logarithms. The mean is 0 but for
            configurations that were recorded. See `DISCREPANCY`.
        """
        if self.unknowns is None:
            shape = (2 * self.space.shape[0] + 1, len(placements))
            own = DISCREPANCY if self.has_power else PLAIN_DISCREPANCY
            return np.zeros(shape), np.full(shape, own**2)
        recorded, asked = (self.space.codes(each) for each in (self.unknowns.recorded, placements))
        return self.unknowns.departures_of(recorded, asked)

    def nominal(self) -> Contexts:
        """Return one context, with the fitted parameters, or the mean after a recording."""
        if self.unknowns is not None:
            return self.contexts_from(self.unknowns.mean[None])
        return self.contexts(nominal(self.machine.architecture))

    def contexts(self, parameters: ParameterSet) -> Contexts:
        """Return one context for each parameter set."""
        return contexts_of(
            self.machine,
            self.space.device.accelerators,
            self.networks,
            self.space.batches,
            parameters,
            [tenant.rate_ips for tenant in self.space.workload.tenants],
            self.space.workload.best_effort,
            self.divided,
        )

    def drawn(self, rng: np.random.Generator, count: int, width: float = 1.0) -> Contexts:
        """Return `count` contexts with drawn parameters, and engines that depart from the layers.

        `width` is a factor on all spreads.
        """
        normals = self.normals(rng, count)
        return self.contexts_from(
            normals if self.unknowns is None else self.unknowns.of(normals), width
        )

    def normals(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw independent standard normal numbers [C, D] for `count` contexts."""
        # Each group of unknowns is drawn on its own, engines by rail first.
        groups = [rng.standard_normal((count, len(NAMES)))]
        for shape, _ in self.departures:
            drawn_by_rail = rng.standard_normal((shape[0], count, *shape[1:]))
            groups.append(drawn_by_rail.swapaxes(0, 1).reshape(count, -1))
        return np.concatenate(groups, axis=1)

    @property
    def departures(self) -> list[tuple[tuple[int, ...], FloatArray]]:
        """Return shape and spread [X, 1] of the unknowns by which engines, and networks, depart.

        The shapes are [2, T, X, Z] for engines and [2, T, X, 1] for networks on cores; the first
        axis is the GPU's part (or that of the cores of a plain computer) and the DLA's. See
        `ENGINE_SPREAD` and `NETWORK_SPREAD`.
        """
        whole, every = (2, self.space.shape[0], self.positions), np.ones((self.positions, 1))
        found: list[tuple[tuple[int, ...], FloatArray]]
        found = [((*whole, len(self.space.batches)), ENGINE_SPREAD * every)]
        if self.machine.plain:
            found.append(((*whole, 1), NETWORK_SPREAD * every))
        elif self.positions > CORES.start:
            every[: CORES.start] = every[EDGE_TPUS] = 0.0
            found.append(((*whole, 1), NETWORK_SPREAD * every))
        return found

    @property
    def unknown_count(self) -> int:
        """Return D, the number of unknowns: parameters, then departures of engines."""
        return len(NAMES) + sum(math.prod(shape) for shape, _ in self.departures)

    def contexts_from(self, normals: FloatArray, width: float = 1.0) -> Contexts:
        """Return a context for each row of unknowns.

        Args:
            normals: [C, D] standard normal numbers: those of the parameters, then those by which
                engines depart [2, T, X, Z] and, where cores serve, networks [2, T, X].
            width: factor on all spreads.
        """
        contexts = self.contexts(drawn(self.machine.architecture, normals[:, : len(NAMES)], width))
        sizes = np.zeros(len(self.space.batches))
        start = len(NAMES)
        for shape, spread in self.departures:
            end = start + math.prod(shape)
            own = normals[:, start:end].reshape(-1, *shape).swapaxes(0, 1) + sizes
            contexts, start = departed(contexts, own, spread * width), end
        return contexts

    def slots(self, placements: IntArray) -> tuple[Rows, Rows, Rows]:
        """Return instances, batch levels and segments [N, T, X] of placements [N, T, A, 2].

        The processor's cores of a board are not modelled where they are the last resort only.
        """
        accelerators, machine = self.space.device.accelerators, self.machine
        places = {
            column: at
            for column, at in enumerate(positions_of(accelerators, machine))
            if at is not None
        }
        mapped = sum(each.mapping is not None for each in accelerators)
        shape = (len(placements), self.space.shape[0], self.positions + mapped)
        instances, levels = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        segments = np.ones(shape, dtype=np.int64)
        columns = [column for column in places if accelerators[column].segments == 1]
        positions = [places[column] for column in columns]
        instances[:, :, positions] = placements[:, :, columns, 0]
        levels[:, :, positions] = np.searchsorted(self.space.batches, placements[:, :, columns, 1])
        for column in set(places).difference(columns):  # the same hardware, in several segments
            at = places[column]
            used = placements[:, :, column, 0] > 0
            instances[:, :, at] += placements[:, :, column, 0]
            level = np.searchsorted(self.space.batches, placements[:, :, column, 1])
            levels[:, :, at] = np.where(used, level, levels[:, :, at])
            segments[:, :, at] = np.where(used, accelerators[column].segments, segments[:, :, at])
        return instances, np.minimum(levels, len(self.space.batches) - 1), segments

    def response(
        self, contexts: Contexts, placements: IntArray, *, median: bool = True
    ) -> Response:
        """Return the response of each configuration in each context: C x N rows, N fastest.

        For `median` see `envs.simulator.response.respond`.
        """
        count = len(contexts)
        rows = np.repeat(np.arange(count), len(placements))
        slots = (np.tile(each, (count, 1, 1)) for each in self.slots(placements))
        return respond(contexts, rows, *slots, median=median)

    def logarithms(self, contexts: Contexts, placements: IntArray) -> FloatArray:
        """Return logarithms [C, Q, N] of throughputs, p99s and power (NaN without rails)."""
        logs = logarithms(self.response(contexts, placements, median=False))
        if not self.has_power:
            logs[:, -1] = np.nan
        logs = logs.reshape(len(contexts), len(placements), -1).transpose(0, 2, 1)
        return logs if self.unknowns is None else logs + self.own_departures(placements)[0]

    def logarithms_of(
        self, contexts: Contexts, rows: Rows, placements: IntArray, which: Rows
    ) -> FloatArray:
        """Return logarithms [Q, B] of pairs of a context and a configuration.

        Args:
            contexts: C contexts.
            rows: [B], which context.
            placements: [N, T, A, 2].
            which: [B], which of these configurations.
        """
        slots = (each[which] for each in self.slots(placements))
        logs = logarithms(respond(contexts, rows, *slots, median=False)).T
        if not self.has_power:
            logs[-1] = np.nan
        if self.unknowns is None:
            return logs
        return np.asarray(logs + self.own_departures(placements)[0][:, which])

    def batch(self, contexts: Contexts, placements: IntArray) -> MeasurementBatch:
        """Return measurements [N] without noise, in a single context."""
        found = self.response(contexts, placements)
        power = found.power_w if self.has_power else np.full(len(placements), np.nan)
        cost = np.full(len(placements), WINDOW_S)
        return MeasurementBatch(
            found.throughput_ips,
            found.p99_ms,
            power,
            cost,
            power * cost,
            np.zeros(len(placements), dtype=bool),
        )
