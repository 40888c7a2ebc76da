"""Networks that run at the same time, group by group, and the schedules of their layer groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from envs.mappings.costs import GroupCosts
from envs.mappings.loads import resources
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.spec.mapping import Mapping


@dataclass(frozen=True)
class Contention:
    """Tell how accelerators slow each other by their DRAM traffic: the shape of PCCS, MICRO 2021.

    A group that runs alone is never slowed. Beside others, what the traffic of all together exceeds
    `threshold` by counts, up to `plateau`, in proportion to the others' part of the traffic, as in
    `envs.simulator.sharing`.

    Attributes:
        dram_byte_s: usable bandwidth.
        threshold, plateau: shares of it.
        slope: slowdown by the share of the bandwidth that counts.
    """

    dram_byte_s: float
    threshold: float
    slope: float
    plateau: float

    @classmethod
    def of(cls, machine: Machine, parameters: ParameterSet) -> Contention:
        """Return the contention of a device by the first of these parameter sets."""
        return cls(
            machine.dram_byte_s * float(parameters.bandwidth_efficiency[0]),
            float(parameters.contention_threshold[0]),
            float(parameters.contention_slope[0]),
            float(parameters.contention_plateau[0]),
        )

    def slowdown(self, own_byte_s: float, other_byte_s: float) -> float:
        """Return the factor on the time of a group beside others that move `other_byte_s`."""
        traffic = own_byte_s + other_byte_s
        if not other_byte_s or not traffic:
            return 1.0
        above = min(max(traffic / self.dram_byte_s - self.threshold, 0.0), self.plateau)
        return 1 + self.slope * above * other_byte_s / traffic


#: A layer group of a network: the positions of both.
Task = tuple[int, int]

#: Positions of accelerators [N, G], of each group of each network.
Chosen = tuple[tuple[int, ...], ...]

#: Accelerators that do not slow each other.
NO_CONTENTION = Contention(1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Run:
    """A layer group on an accelerator, from its transition to its end."""

    network: int
    group: int
    accelerator: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Schedule:
    """A batch of each of N networks, beginning together.

    Attributes:
        mappings: [N].
        chosen: the same, as positions in `GroupCosts.accelerators`.
        runs: of all groups, by start.
        finish_s: [N], with contention.
        bound: no schedule has a lower makespan [s], or a higher rate [batches/s], whichever was
            asked for; NaN where nothing was searched.
    """

    mappings: tuple[Mapping, ...]
    chosen: Chosen
    runs: tuple[Run, ...]
    finish_s: tuple[float, ...]
    bound: float

    @property
    def makespan_s(self) -> float:
        """Return the time at which the last network is done."""
        return max(self.finish_s)

    @property
    def batches_s(self) -> float:
        """Return the sum of the networks' rates, as if each began again when it is done."""
        return sum(1 / each for each in self.finish_s)


class Step(NamedTuple):
    """A layer group where it runs.

    Attributes:
        resource: what it occupies.
        alone_s: its time without contention.
        byte_s: its DRAM traffic.
    """

    resource: str
    alone_s: float
    byte_s: float


@dataclass(frozen=True)
class Together:
    """N networks that run at the same time.

    Attributes:
        networks: [N] costs of their groups.
        contention: how their accelerators slow each other.
    """

    networks: tuple[GroupCosts, ...]
    contention: Contention

    @cached_property
    def resources(self) -> tuple[tuple[str, ...], ...]:
        """Return [N, A] the resource of each accelerator; one group at a time runs on one."""
        return tuple(resources(costs) for costs in self.networks)

    def alone_s(self, network: int, group: int, before: int | None, at: int) -> float:
        """Return the time of a group without contention.

        The transition before it counts, the start of the first group and the end of the last one.

        Args:
            network: its position.
            group: of the network.
            before: position of the accelerator of the group before; None for the first group.
            at: position of its accelerator.
        """
        costs = self.networks[network]
        begin = costs.start_s[at] if before is None else costs.transition_s[group, before, at]
        end = costs.end_s[at] if group == costs.groups - 1 else 0.0
        return float(costs.time_s[group, at] + begin + end)

    def byte_s(self, network: int, group: int, at: int) -> float:
        """Return the DRAM traffic of a group that runs alone."""
        costs = self.networks[network]
        time_s = costs.time_s[group, at]
        return float(costs.bytes[group, at] / time_s) if time_s > 0 else 0.0

    def steps(self, chosen: Chosen) -> dict[Task, Step]:
        """Return the groups of all networks under one assignment [N, G]."""
        return {
            (network, group): Step(
                self.resources[network][at],
                self.alone_s(network, group, where[group - 1] if group else None, at),
                self.byte_s(network, group, at),
            )
            for network, where in enumerate(chosen)
            for group, at in enumerate(where)
        }
