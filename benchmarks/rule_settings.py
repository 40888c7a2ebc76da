"""The settings in which a policy is compared with the untrained rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from envs.arrays import FloatArray
from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import KINDS, OF_WINDOWS, window_misfit
from envs.problems.simulated_world import SimulatedWorld
from tuner.evaluation.rollouts import Played, RollOut

#: Seconds of an episode in which engines are built, and of the marks at which it is looked at.
BUDGET_S, EVERY_S = 900.0, 30.0


@dataclass(frozen=True)
class Setting:
    """One kind of problem.

    Attributes:
        name: in words.
        draw: options of drawing its problems beside the usual ones.
        windows: kind of misfit of windows alone: problems are those without it, measured otherwise.
        changes: share of the episodes in which conditions change on the way.
        builds: True where no engine is built at first; shares are then over time.
    """

    name: str
    draw: dict[str, Any] = field(default_factory=dict)
    windows: str = ""
    changes: float = 0.0
    builds: bool = False

    def options(self, split: str) -> DrawOptions:
        """Return the options to draw its problems with."""
        return DrawOptions(split=split, **self.draw)

    def world(self, drawn: SimulatedWorld) -> SimulatedWorld:
        """Return its problems, from those that were drawn with its options."""
        if not self.windows:
            return drawn
        rng = np.random.default_rng(0)
        numbers = [window_misfit(self.windows, rng).numbers for _ in range(len(drawn.problems))]
        misfit = np.array(numbers, dtype=np.float32)
        return SimulatedWorld.of(replace(drawn.problems, misfit=misfit))

    def rounds(self, repeats: int) -> RollOut:
        """Return how its episodes are played."""
        budget_s = BUDGET_S if self.builds else math.inf
        return RollOut(repeats, self.changes, budget_s=budget_s, builds=float(self.builds))

    def marks(self, played: Played) -> FloatArray:
        """Return the shares [S, repeats, marks] after 2 to 8 measurements, or over the time."""
        if self.builds:
            return played.at(np.arange(EVERY_S, BUDGET_S + 1, EVERY_S))
        return played.share[:, :, 1:]

    @property
    def looks(self) -> dict[str, slice]:
        """Return the marks that are shown: an early and a late one, and the mean of all."""
        if self.builds:
            early, late = (slice(n - 1, n) for n in (4, 16))
            return {
                "after 120 s": early,
                "after 480 s": late,
                "in the mean over 900 s": slice(None),
            }
        early, late = slice(1, 2), slice(6, 7)
        return {"after 3": early, "after 8": late, "in the mean of 2 to 8": slice(None)}


SETTINGS = (
    Setting("belief_right"),
    Setting("changing", changes=1.0),
    Setting("builds", builds=True),
    *(
        Setting(kind, windows=kind) if kind in OF_WINDOWS else Setting(kind, {"misfits": [kind]})
        for kind in KINDS
    ),
    Setting("two_tenants", {"tenants": [0.0, 1.0]}),
    Setting("energy", {"goals": {"energy": 1.0}}),
    Setting("latency", {"goals": {"latency": 1.0}}),
)
