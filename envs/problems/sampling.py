"""Sample a space, and find between which limits to draw."""

import numpy as np

from envs.arrays import Placements
from envs.belief.local_search import random_placements, valid
from envs.belief.shortlist import unmirrored
from envs.problems.limits import LimitRange
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, MeasurementBatch, Objective, verdict_of

#: Spaces of at most this many combinations are sampled from their catalogue.
LISTED = 50_000


def limit_range(
    model: DeviceModel, truth: Contexts, rng: np.random.Generator, samples: int = 400
) -> LimitRange:
    """Find between which limits to draw, from a sample of the space, see `useful_limits`."""
    placements = sample_placements(model.space, rng, samples)
    return useful_limits(model, model.batch(truth, placements))


def useful_limits(model: DeviceModel, batch: MeasurementBatch) -> LimitRange:
    """Return limits from a little below the lowest value of outcomes to a little above the highest.

    The highest latency is that of the outcome with the most throughput.
    """
    every = LimitRange.of(batch)
    free = Objective((np.inf,) * model.space.shape[0])
    best = int(verdict_of(batch, np.array(model.space.workload.weights), free).score.argmax())
    p99 = tuple(
        (low, max(1.1 * float(most), low * 1.2))
        for (low, _), most in zip(every.p99_ms, batch.p99_ms[best], strict=True)
    )
    return LimitRange(p99, every.power_w)


def sample_placements(
    space: ConfigurationSpace, rng: np.random.Generator, count: int
) -> Placements:
    """Return random valid configurations and some extremes, [N, T, A, 2].

    The extremes have all tenants on one accelerator, each at the smallest batch.
    """
    if space.combinations <= LISTED:
        every = unmirrored(space)
        chosen = every[rng.choice(len(every), min(count, len(every)), replace=False)]
    else:
        chosen = valid(space, random_placements(space, rng, 3 * count))[:count]
    tenants, accelerators = space.shape
    alone = np.zeros((accelerators, tenants, accelerators, 2), dtype=np.int16)
    for accelerator in range(accelerators):
        alone[accelerator, :, accelerator] = (1, space.batches[0])
    return np.concatenate([space.default().array()[None], valid(space, alone), chosen])
