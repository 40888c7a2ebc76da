"""Which configurations a recording tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from envs.errors import OptionError
from envs.optional import optional_import
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.validity import VALID, judge

#: More draws than this will not find what is left of a space.
MAX_DRAWS = 1_000_000


@dataclass
class PlanOptions:
    """`grid` (every valid configuration), `lhs` (Latin hypercube over the knobs) or `random`; `samples` of the latter two."""

    kind: str = "grid"
    samples: int = 64
    seed: int = 0


def planned(space: ConfigurationSpace, options: PlanOptions) -> list[Configuration]:
    """The configurations of a plan, each once and all valid, the default among them."""
    if options.kind == "grid":
        return [Configuration.of(row) for row in space.catalogue]
    if options.samples < 1:
        raise OptionError(f"plan.samples={options.samples} must be at least 1")
    if options.seed < 0:
        raise OptionError(f"plan.seed={options.seed} must not be below zero")
    if options.kind == "lhs":
        qmc = optional_import("scipy.stats.qmc", "train")
        chosen = _drawn(
            space,
            options.samples,
            lambda draw: qmc.LatinHypercube(space.knobs, seed=options.seed).random(draw),
        )
    elif options.kind == "random":
        rng = np.random.default_rng(options.seed)
        chosen = _drawn(space, options.samples, lambda draw: rng.random((draw, space.knobs)))
    else:
        raise OptionError(f"plan.kind={options.kind!r} must be grid, lhs or random")
    configurations = [space.default(), *(Configuration.of(row) for row in chosen)]
    return list(dict.fromkeys(configurations))[: options.samples]


def _drawn(
    space: ConfigurationSpace, wanted: int, draw_unit: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Different valid configurations [wanted, T, A, 2] from points of the unit cube of the knobs, without enumerating the space.

    The judge refuses some, so more are drawn until enough are left, or until drawing more finds no more.
    """
    draw, before = wanted, -1
    while True:
        placements = space.decode((draw_unit(draw) * len(space.options)).astype(np.int64))
        placements = placements[judge(space, placements) == VALID]
        first = np.sort(np.unique(space.codes(placements), return_index=True)[1])
        if len(first) >= wanted or len(first) == before or draw > MAX_DRAWS:
            return np.asarray(placements[first][:wanted])
        draw, before = 4 * draw, len(first)
