"""A batch under a mapping, piece by piece: the start, groups, transitions and the end, in order."""

from __future__ import annotations

from dataclasses import dataclass

from envs.mappings.costs import GroupCosts
from envs.spec.mapping import Mapping


@dataclass(frozen=True)
class Piece:
    """A stretch of time of a batch.

    Attributes:
        accelerator: position in the accelerators of the costs.
        group: which layer group runs; None while data goes to another accelerator or from one.
        start_s, time_s: when it begins, and how long it takes.
        energy_j: of it.
    """

    accelerator: int
    group: int | None
    start_s: float
    time_s: float
    energy_j: float


@dataclass(frozen=True)
class Run:
    """A batch that runs alone under a mapping.

    Attributes:
        mapping: where each group runs.
        time_s, energy_j: of the batch.
        batch: its samples.
        pieces: of the whole time; none where a DLA leaves layers to the GPU as it happens.
    """

    mapping: Mapping
    time_s: float
    energy_j: float
    batch: int
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """Return the name of its mapping, and whether a DLA is helped by the GPU."""
        return self.mapping.name if self.pieces else f"{self.mapping.name} with the GPU"

    @property
    def transitions(self) -> int:
        """Return how often it goes from one accelerator to another."""
        return len(self.mapping.stops)

    @property
    def rate_ips(self) -> float:
        """Return the inferences a second of one instance that is never idle."""
        return self.batch / self.time_s

    @property
    def inference_j(self) -> float:
        """Return the energy of one inference."""
        return self.energy_j / self.batch


def run_of(costs: GroupCosts, mapping: Mapping) -> Run:
    """Return a batch under a mapping; its totals are those of `GroupCosts.of`.

    Raises:
        OptionError: the mapping needs more groups than there are.
    """
    at = [costs.accelerators.index(name) for name in mapping.by_group(costs.groups)]
    pieces: list[Piece] = []

    def add(accelerator: int, group: int | None, time_s: float, energy_j: float) -> None:
        start_s = pieces[-1].start_s + pieces[-1].time_s if pieces else 0.0
        pieces.append(Piece(accelerator, group, start_s, float(time_s), float(energy_j)))

    add(at[0], None, costs.start_s[at[0]], costs.start_j[at[0]])
    for group, here in enumerate(at):
        before = at[group - 1] if group else here
        if before != here:
            time_s, energy_j = costs.transition_s, costs.transition_j
            add(here, None, time_s[group, before, here], energy_j[group, before, here])
        add(here, group, costs.time_s[group, here], costs.energy_j[group, here])
    add(at[-1], None, costs.end_s[at[-1]], costs.end_j[at[-1]])
    shown = tuple(piece for piece in pieces if piece.time_s or piece.group is not None)
    return Run(mapping, *costs.of(at), costs.batch, shown)
