"""Which configurations a recording tries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.configuration import Configuration, ConfigurationSpace
from envs.errors import OptionError
from envs.optional import optional_import
from envs.validity import VALID, judge


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
    if options.kind == "lhs":
        chosen = _latin_hypercube(space, options)
    elif options.kind == "random":
        size = min(options.samples, len(space.catalogue))
        chosen = space.catalogue[np.random.default_rng(options.seed).choice(len(space.catalogue), size, replace=False)]
    else:
        raise OptionError(f"plan.kind={options.kind!r} must be grid, lhs or random")
    configurations = [space.default(), *(Configuration.of(row) for row in chosen)]
    return list(dict.fromkeys(configurations))[: options.samples]


def _latin_hypercube(space: ConfigurationSpace, options: PlanOptions) -> np.ndarray:
    """Strata along each knob. Draws that the judge refuses are left out, so more are drawn until enough are left."""
    qmc = optional_import("scipy.stats.qmc", "train")
    wanted = min(options.samples, len(space.catalogue))
    draw = wanted
    while True:
        unit = qmc.LatinHypercube(space.knobs, seed=options.seed).random(draw)
        placements = space.decode((unit * len(space.options)).astype(np.int64))
        placements = placements[judge(space, placements) == VALID]
        first = np.sort(np.unique(space.codes(placements), return_index=True)[1])
        if len(first) >= wanted or draw > 64 * len(space.catalogue):
            return np.asarray(placements[first][:wanted])
        draw *= 2
