"""Divide the layers of a network among the accelerators of a board, by its model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.catalog.boards import board as board_of
from envs.catalog.reference_networks import reference_groups, reference_names
from envs.errors import NetworkError, OptionError
from envs.graph.layer_table import LayerTable
from envs.graph.onnx_file import network_name
from envs.graph.partition import partition_of
from envs.mappings.costs import GroupCosts
from envs.mappings.front import worth_it
from envs.mappings.gain import WEIGHTS, Gain, fallbacks, gain_of
from envs.mappings.model_costs import group_costs, whole_costs
from envs.mappings.search import MappingCost, pareto_front, single_accelerators
from envs.simulator.machine import Machine, device_of, machine_of
from envs.simulator.parameters import nominal
from envs.spec import MAX_BATCH, Accelerator, Kind

#: Board, weight of time and most transitions, where nothing else is said.
BOARD, WEIGHT, TRANSITIONS = "agx_orin_64", 0.5, 2


@dataclass(frozen=True)
class MapRequest:
    """Say what to map, where, and within which limits.

    Attributes:
        board: of the catalogue.
        mode: power mode of the board, by default its largest.
        accelerators: those to divide layers among; by default the GPU's and the first DLA core.
        tensor_precision: of Tensor Cores, fp16 or int8.
        dla_precision: of a DLA, int8 or fp16.
        batch: samples in a batch.
        weight: of time against energy in the choice, from 0 (energy alone) to 1 (time alone).
        latency_ms: limit on the time of a batch.
        energy_mj: limit on the energy of an inference.
        max_transitions: how often a mapping may change the accelerator.
    """

    board: str = BOARD
    mode: str | None = None
    accelerators: Sequence[str] | None = None
    tensor_precision: str = "fp16"
    dla_precision: str = "int8"
    batch: int = 1
    weight: float = WEIGHT
    latency_ms: float | None = None
    energy_mj: float | None = None
    max_transitions: int = TRANSITIONS

    def check(self) -> None:
        """Check all values before a network is read.

        Raises:
            OptionError: one cannot be used; the message names it.
        """
        if not 0 <= self.weight <= 1:
            raise OptionError(f"weight={self.weight} must lie in 0..1: 1 is time alone")
        if not 1 <= self.batch <= MAX_BATCH:
            raise OptionError(f"batch={self.batch} must lie in 1..{MAX_BATCH}")
        for key in ("latency_ms", "energy_mj"):
            limit = getattr(self, key)
            if limit is not None and not 0 < limit < math.inf:
                raise OptionError(f"{key}={limit} must be above zero; leave it out for no limit")
        if self.max_transitions < 0:
            raise OptionError(
                f"max_transitions={self.max_transitions} must be at least 0, which keeps a network"
                " on one accelerator"
            )
        self.places()

    def places(self) -> tuple[Accelerator, ...]:
        """Return the accelerators to divide layers among.

        Raises:
            OptionError: board, mode, precision or an accelerator is unknown, or these accelerators
                cannot run one network together.
        """
        known = self._known()
        given = self.accelerators
        if given is None:
            return tuple(each for each in known.values() if each.on_gpu or each.resource == "dla0")
        for name in given:
            if name not in known:
                raise OptionError(
                    f"accelerators={name} is unknown on {self.board} ({self.power_mode}): choose"
                    f" from {', '.join(known)}"
                )
        found = [known[name] for name in given]
        if not found or len(set(given)) < len(found):
            raise OptionError("accelerators must name at least one, and each once")
        resources = {each.resource for each in found}
        if {"dla0", "dla1"} <= resources:
            raise OptionError(
                "accelerators=dla0 and dla1: a mapping uses one DLA core; a second instance of it"
                " uses the other"
            )
        if "cpu" in resources and len(resources) > 1:
            raise OptionError(
                "accelerators: a network is divided among the GPU and a DLA core, or among the"
                " precisions of the processor, and not among both"
            )
        return tuple(found)

    def dla_cores(self) -> tuple[str, ...]:
        """Return the DLA cores that networks may be shared out among, one core a network."""
        if self.accelerators is None:
            return tuple(each.name for each in self._known().values() if each.kind is Kind.DLA)
        return tuple(each.name for each in self.places() if each.kind is Kind.DLA)

    def _known(self) -> dict[str, Accelerator]:
        device = device_of(self.board, self.power_mode, processor=True).with_chosen(
            {Kind.TENSOR_CORES: self.tensor_precision, Kind.DLA: self.dla_precision}
        )
        return {each.name: each for each in device.accelerators}

    @property
    def power_mode(self) -> str:
        """Return the power mode, the largest one where none is given."""
        return self.mode or next(iter(board_of(self.board).power_modes))

    @property
    def device(self) -> str:
        """Return board and power mode as text."""
        return f"{self.board} ({self.power_mode})"

    @property
    def machine(self) -> Machine:
        """Return the rates of the board."""
        return machine_of(
            self.board, self.power_mode, self.tensor_precision, self.dla_precision
        ).with_cores_as_accelerators()


@dataclass(frozen=True)
class LayerMap:
    """The mappings of a network on a board; all numbers are simulated, by the device model.

    Attributes:
        request: what was asked for.
        costs: of the layer groups.
        singles: the whole network on each accelerator that runs all of it.
        fallbacks: the whole network on a DLA that leaves to the GPU what it does not take.
        front: mappings that no other one beats in time and energy, in ascending time; a single
            accelerator may be among them.
        gains: of the best mapping over the best single accelerator or fallback, by weight.
        worth: mappings that are worth being places to run on beside the single accelerators, the
            best first.
    """

    request: MapRequest
    costs: GroupCosts
    singles: tuple[MappingCost, ...]
    fallbacks: tuple[MappingCost, ...]
    front: tuple[MappingCost, ...]
    gains: tuple[Gain, ...]
    worth: tuple[MappingCost, ...]

    @property
    def chosen(self) -> MappingCost | None:
        """Return the mapping that is best by the weight within the limits; None for none."""
        request = self.request
        limit_s = math.inf if request.latency_ms is None else request.latency_ms / 1e3
        limit_j = math.inf if request.energy_mj is None else request.energy_mj / 1e3
        return min(
            (
                each
                for each in self.front
                if each.time_s <= limit_s and each.energy_j / self.costs.batch <= limit_j
            ),
            key=lambda each: (each.value(request.weight), each.transitions),
            default=None,
        )

    def shown(self, most: int) -> tuple[MappingCost, ...]:
        """Return at most so many members of the front, in ascending time.

        These are both ends, the chosen one and the best by each weight, then those that differ most
        from them in the logarithms of time and energy.

        Args:
            most: at least 6.
        """
        points = np.log([(each.time_s, each.energy_j) for each in self.front])
        span = np.ptp(points, axis=0)
        points = points / np.where(span > 0, span, 1)
        best = [gain.mapping for gain in self.gains]
        wanted = (self.front[0], self.front[-1], self.chosen, *best)
        kept = {at for at, each in enumerate(self.front) if each in wanted}
        while len(kept) < min(most, len(self.front)):
            gaps = points[:, None] - points[sorted(kept)]
            kept.add(int(np.abs(gaps).sum(axis=2).min(axis=1).argmax()))
        return tuple(self.front[at] for at in sorted(kept))


def mapped_layers(network: str | Path, request: MapRequest, name: str = "") -> LayerMap:
    """Return the mappings of a network on a board.

    Args:
        network: an ONNX file, or the name of a reference network.
        request: where, and within which limits.
        name: of the network in what is told of it; that of its file if empty.

    Raises:
        OptionError: an option cannot be used.
        NetworkError: there is no such network, or its file cannot be read.
    """
    request.check()
    check_network(network)
    places, machine = request.places(), request.machine
    parameters = nominal(machine.architecture)
    groups = groups_of(network)
    costs = group_costs(
        groups, places, machine, parameters, request.batch, name or network_name(network)
    )
    front = pareto_front(costs, request.max_transitions)
    if not front:
        names = ", ".join(each.name for each in places)
        raise NetworkError(
            f"{network}: {names} cannot run it, not even together: name the GPU's accelerators too"
        )
    singles = single_accelerators(costs)
    whole = whole_costs(groups, places, machine, parameters, request.batch)
    left = fallbacks(costs, *whole)
    gains = tuple(gain_of(front, [*singles, *left], each) for each in sorted(WEIGHTS))
    worth = worth_it(costs, request.max_transitions)
    return LayerMap(request, costs, singles, left, front, gains, worth)


def check_network(network: str | Path) -> None:
    """Raise NetworkError if this is neither a file nor the name of a reference network."""
    if not Path(network).is_file() and str(network) not in reference_names():
        raise NetworkError(
            f"there is no file {network}: give an ONNX file, or one of"
            f" {', '.join(reference_names())}"
        )


def groups_of(network: str | Path) -> tuple[LayerTable, ...]:
    """Return the layer groups of an ONNX file, or of a reference network by name."""
    if Path(network).is_file():
        return tuple(group.layers for group in partition_of(network).groups)
    return reference_groups(str(network))
