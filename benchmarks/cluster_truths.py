"""Boards that differ from the device model, the same one for all networks and tenants."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cluster.profiles.boards import BATCHES
from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import Misfit, draw_misfit
from envs.problems.simulated_world import disturbed
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import Machine, device_of, machine_of
from envs.simulator.parameters import NAMES
from envs.simulator.tables import Contexts
from envs.spec import Configuration, ConfigurationSpace, DeviceSpec, Outcome, workload_of
from tuner.evaluation.simulated import Windows

#: Misfits of devices that are drawn for three boards in four.
MISFITS, MISFIT_SHARE = ["departing_engines", "far_worse", "wider"], 0.75


@dataclass(frozen=True)
class BoardTruth:
    """Hold what is true of one kind of board.

    Attributes:
        machine, device: of the board; of the GPU only the Tensor Cores, which serve all networks.
        seed: numbers that its draws come from.
        misfit: its kind and width; its departures are for one network.
        parameters: [1, number of parameters] standard normal numbers.
    """

    machine: Machine
    device: DeviceSpec
    seed: tuple[int, ...]
    misfit: Misfit
    parameters: FloatArray = field(repr=False)

    @classmethod
    def drawn(cls, board: str, mode: str, seed: tuple[int, ...]) -> BoardTruth:
        """Draw a board."""
        machine, device = machine_of(board, mode), device_of(board, mode)
        first = {each.resource: each for each in reversed(device.accelerators)}
        kept = tuple(each for each in device.accelerators if first[each.resource] is each)
        truth = cls(machine, replace(device, accelerators=kept), seed, Misfit(), np.zeros((1, 0)))
        rng = np.random.default_rng(seed)
        options = DrawOptions(misfits=MISFITS, misfit_share=MISFIT_SHARE)
        misfit = draw_misfit(options, truth.model(["resnet50"]), rng)
        return replace(truth, misfit=misfit, parameters=rng.standard_normal((1, len(NAMES))))

    def model(self, networks: Sequence[str]) -> DeviceModel:
        """Return the model of the board with one instance of a network at most on each place."""
        tables = tuple(
            replace(reference_network(name), name=f"{name}{at or ''}")
            for at, name in enumerate(networks)
        )
        workload = workload_of([described(each) for each in tables])
        space = ConfigurationSpace(self.device, workload, 1, BATCHES)
        return DeviceModel(self.machine, space, tables)

    def contexts(self, networks: Sequence[str], model: DeviceModel | None = None) -> Contexts:
        """Return the truth of several networks together, each of which is as it is alone.

        Args:
            networks: [T].
            model: of these on the board; None for `model(networks)`.
        """
        model = model or self.model(networks)
        engines, times = zip(*(self._engines(each, model) for each in networks), strict=True)
        normals = np.concatenate([self.parameters, np.concatenate(engines, 1).reshape(1, -1)], 1)
        truth = model.contexts_from(normals, self.misfit.width)
        return replace(self.misfit, log_times=np.concatenate(times, axis=1)).apply(truth)

    def _engines(self, network: str, model: DeviceModel) -> tuple[FloatArray, FloatArray]:
        """Return by how much the engines of a network depart: [2, 1, X, Z], and its misfit's."""
        rng = np.random.default_rng([*self.seed, zlib.crc32(network.encode())])
        ((whole, _),) = model.departures
        shape = (whole[0], 1, *whole[2:])
        normals, times = rng.standard_normal(shape), np.zeros(shape)
        if self.misfit.kind == "departing_engines":
            times = 0.45 * rng.standard_normal(shape)
        elif self.misfit.log_times is not None:
            times = self.misfit.log_times
        return normals, times

    def session(self, network: str) -> Callable[[Configuration], Outcome]:
        """Return what measures a network on this board, a window at a time."""
        model, context = self.model([network]), self.contexts([network])
        other = disturbed(context, np.random.default_rng(self.seed))
        key = (*self.seed, zlib.crc32(network.encode()))
        return Windows(model, context, key, Misfit(), other).session(0)


class TrueBoards(dict[str, BoardTruth]):
    """Boards by the name of their kind of node."""

    @classmethod
    def drawn(cls, boards: Sequence[tuple[str, str, int]], seed: int) -> TrueBoards:
        """Draw the truth of each board (name, power mode, share of the nodes)."""
        return cls(
            {f"{name}-{mode}": BoardTruth.drawn(name, mode, (seed, number))
             for number, (name, mode, _) in enumerate(boards)}
        )  # fmt: skip

    def contexts(self, kind: str, model: DeviceModel, networks: Sequence[str]) -> Contexts:
        """Return the truth of a kind of nodes that serve these networks."""
        return self[kind].contexts(networks, model)
