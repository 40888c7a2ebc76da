"""What is believed before the first measurement, and which configurations are worth considering.

Letters: C draws of the uncertain parameters, N configurations, M of them on the shortlist, Q = 2 T + 1 quantities, R directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray, Floats, Placements
from envs.belief.features import SURE, chance_of_keeping, worth_staying
from envs.belief.gaussian import factor, prior_variance
from envs.belief.shortlist import PENALTY, candidate_pool, score_and_violation
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec.objective import Objective
from envs.spec.space import Configuration

#: Draws of the parameters that a shortlist must serve, and of those that a belief is made of: the latter estimate covariances, which takes more.
DRAWS, BELIEF_DRAWS = 64, 320

#: Directions that are kept of the belief, and configurations on a shortlist.
DIRECTIONS, SHORTLIST = 24, 80

#: By how much tighter than asked a limit is taken, in logarithms, while a shortlist is drawn up: who aims at the limit itself misses it
#: half of the time, so that there must be something to choose from on the safe side as well.
MARGINS = (0.0, 0.05, 0.1, 0.2, 0.4)

#: Where limits can barely be kept, what comes closest matters more than throughput: a distance of 1 / SAFETY counts as much as a factor of e.
SAFETY = 30.0


@dataclass(frozen=True)
class Prior:
    """Shortlist and belief for one problem.

    Attributes:
        placements: [M, T, A, 2], the first of them being where everybody starts. mean, left: [Q, M]. basis: [R, Q x M].
        nominal: [Q, M], what the model says with its fitted parameters.
    """

    placements: Placements
    mean: Floats
    basis: Floats
    left: Floats
    nominal: Floats

    def sure(self, objective: Objective) -> npt.NDArray[np.int64]:
        """Which of the shortlist are sure to keep the limits, by what is believed before the first measurement."""
        variance = prior_variance(self.basis[None], self.left[None])
        limits = objective.log_limits
        return np.flatnonzero(
            chance_of_keeping(self.mean[None], variance, np.zeros((1, len(limits))), limits[None])[
                0
            ]
            >= SURE
        )

    def starting_at(self, row: int) -> Prior:
        """The same with another of the shortlist in the first place."""
        order = [row, *(each for each in range(len(self.placements)) if each != row)]
        basis = self.basis.reshape(len(self.basis), *self.left.shape)[:, :, order].reshape(
            self.basis.shape
        )
        return Prior(
            self.placements[order],
            self.mean[:, order],
            basis,
            self.left[:, order],
            self.nominal[:, order],
        )


def prior_of(
    model: DeviceModel,
    objective: Objective,
    rng: np.random.Generator,
    candidates: Placements | None = None,
    size: int = SHORTLIST,
    start: Configuration | None = None,
    known: Sequence[Configuration] = (),
) -> Prior:
    """Shortlist and belief.

    Args:
        candidates: [N, T, A, 2] to choose from; None for the whole space.
        size: the shortlist has fewer configurations only where the space has.
        start: what everybody measures first. Where not given, the most throughput among what is sure to keep the limits, whatever is uncertain.
        known: what was measured before, and is to be on the shortlist for that.
    """
    draws = model.drawn(rng, DRAWS)
    if candidates is None or len(candidates) > size:
        pool = candidate_pool(model, draws, objective, rng, candidates)
        chosen = pool[_covering(model, draws, pool, objective, size)]
    else:
        chosen = candidates
    first = [each.array() for each in dict.fromkeys([*([start] if start else []), *known])]
    if first:
        again = np.isin(model.space.codes(chosen), model.space.codes(np.stack(first)))
        chosen = np.concatenate([np.stack(first), chosen[~again]])
    placements = chosen[:size]
    samples = model.logarithms(model.drawn(rng, BELIEF_DRAWS), placements)
    mean, basis, left = factor(samples, DIRECTIONS, model.discrepancy)
    prior = Prior(placements, mean, basis, left, model.logarithms(model.nominal(), placements)[0])
    return prior if start is not None else prior.starting_at(_surest(model, samples, objective))


def starting_configuration(
    model: DeviceModel, objective: Objective, candidates: Placements | None = None
) -> Configuration:
    """What everybody measures first where nothing is served yet, see `prior_of`."""
    return Configuration.of(
        prior_of(model, objective, np.random.default_rng(0), candidates).placements[0]
    )


def _surest(model: DeviceModel, samples: FloatArray, objective: Objective) -> int:
    """The most throughput among what is sure enough to keep the limits, for who serves already must not break one; what comes closest where nothing is."""
    score, violation = score_and_violation(model, samples, objective)
    chance = (violation <= 0).mean(axis=0)
    worth = worth_staying(score.mean(axis=0), chance) - PENALTY * np.maximum(
        violation.mean(axis=0), 0.0
    )
    return int(worth.argmax())


def _covering(
    model: DeviceModel, draws: Contexts, pool: Placements, objective: Objective, size: int
) -> npt.NDArray[np.int64]:
    """Rows of the pool, such that whichever draw is true has a good configuration among them, at every margin (greedy facility location)."""
    logs = model.logarithms(draws, pool)  # [C, Q, N]
    score, violation = score_and_violation(model, logs, objective)
    worth = []
    for margin in MARGINS:
        value = score - 8.0 * np.maximum(violation + margin, 0.0)
        worth.append(np.exp(value - value.max(axis=1, keepdims=True)))
    safety = -SAFETY * np.maximum(violation, violation.min(axis=1, keepdims=True))
    worth.append(np.exp(safety - safety.max(axis=1, keepdims=True)))
    shares = np.concatenate(worth).astype(
        np.float32
    )  # [C x margins, N], of the best under that draw and margin
    covered = np.zeros(len(shares), dtype=np.float32)
    usual = 1e-3 * shares.mean(axis=0)
    chosen: list[int] = []
    for _ in range(min(size, len(pool))):
        gain = np.maximum(shares - covered[:, None], 0.0).sum(axis=0) + usual
        gain[chosen] = -1.0
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, shares[:, chosen[-1]])
    return np.array(chosen)
