"""Choose the configurations that a recording measures."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from envs.arrays import FloatArray, Placements
from envs.errors import OptionError
from envs.optional import optional_import
from envs.spec import Configuration, ConfigurationSpace
from envs.spec.validity import VALID, judge

PLANS = ("grid", "lhs", "random")

#: More settings of knobs than these are not drawn at once: they will not find the rest of a space.
MAX_DRAWN = 20_000_000

#: Draws that say nothing yet where the judge refuses nearly all.
FEW_DRAWS = 10_000

#: Where fewer of the draws are valid, fewer places are used at once.
RARE = 0.05


@dataclass(frozen=True)
class PlanOptions:
    """The plan of a recording: the configurations to measure.

    Attributes:
        kind: `grid` (every valid configuration), `lhs` (a Latin hypercube over the knobs) or
            `random`.
        count: at most so many configurations of `lhs` and `random`.
        seed: of `lhs` and `random`.
    """

    kind: str = field(default="grid", metadata={"flag": "--plan"})
    count: int = 64
    seed: int = 0

    def check(self) -> None:
        """Raise OptionError for a wrong value."""
        if self.kind not in PLANS:
            raise OptionError(f"plan={self.kind!r} must be {', '.join(PLANS[:-1])} or {PLANS[-1]}")
        if self.count < 1:
            raise OptionError(f"count={self.count} must be at least 1")
        if self.seed < 0:
            raise OptionError(f"seed={self.seed} must not be below zero")


def planned(
    space: ConfigurationSpace, options: PlanOptions, candidates: Placements | None = None
) -> list[Configuration]:
    """Return the configurations of a plan, each once and all valid, the default among them.

    Args:
        space: to choose from.
        options: the plan.
        candidates: [N, T, A, 2], all that can be measured; None for the whole space.

    Raises:
        OptionError: an option is wrong, or the space is too large for a grid.
    """
    options.check()
    if options.kind == "grid":
        if candidates is None and not space.enumerable:
            raise OptionError(
                f"a grid would have up to {space.combinations:,} configurations: choose some of"
                " them with --plan lhs --count 100, or give fewer batches and instances"
            )
        rows = space.catalogue if candidates is None else candidates
        return [Configuration.of(row) for row in rows]
    rng = np.random.default_rng(options.seed)
    if candidates is not None:
        rows = candidates[rng.permutation(len(candidates))[: options.count]]
        return [Configuration.of(row) for row in rows]
    chosen = _drawn(space, options.count, _unit_points(space.knobs, options, rng), rng)
    configurations = [space.default(), *(Configuration.of(row) for row in chosen)]
    return list(dict.fromkeys(configurations))[: options.count]


def _unit_points(
    knobs: int, options: PlanOptions, rng: np.random.Generator
) -> Callable[[int], FloatArray]:
    """Return a function that draws points [N, K] of the unit cube, N being its argument."""
    if options.kind == "random":
        return lambda count: rng.random((count, knobs))
    qmc = optional_import("scipy.stats.qmc", "train")
    return lambda count: np.asarray(qmc.LatinHypercube(knobs, seed=options.seed).random(count))


def _drawn(
    space: ConfigurationSpace,
    wanted: int,
    draw_unit: Callable[[int], FloatArray],
    rng: np.random.Generator,
) -> Placements:
    """Return different valid configurations [wanted, T, A, 2] without enumerating the space.

    They are decoded from points of the unit cube of the knobs. The judge refuses some, so more
    are drawn until enough remain, or until drawing more finds no new one. Where it refuses nearly
    all, because too much is in use at once, some knobs are left unused, and then more of them.
    """
    draw, before, used = wanted, -1, 1.0
    while True:
        choices = zip(space.knob_options, draw_unit(draw).T, strict=True)
        # Each knob is drawn from its own settings: an accelerator that is no choice has one.
        options = np.stack(
            [each[(unit * len(each)).astype(np.int64)] for each, unit in choices], axis=1
        )
        if used < 1.0:
            options[rng.random(options.shape) > used] = 0
        placements = space.decode(options)
        placements = placements[judge(space, placements) == VALID]
        first = np.sort(np.unique(space.codes(placements), return_index=True)[1])
        enough = len(first) >= wanted or 4 * draw * space.knobs > MAX_DRAWN
        thinner = max(used / 2, 1 / space.shape[1]) if len(placements) < RARE * draw else used
        nothing_new = thinner == used and len(first) == before and draw > FEW_DRAWS
        if enough or nothing_new:
            return np.asarray(placements[first][:wanted])
        draw, before, used = 4 * draw if thinner == used else draw, len(first), thinner
