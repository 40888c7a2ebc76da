"""The belief before the first measurement, and the shortlist of candidates it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from envs.arrays import FloatArray, Floats, Placements, Rows, Single
from envs.belief.assess import MIN_FEASIBLE_CHANCE, chance_of_keeping, worth_staying
from envs.belief.factor import factor
from envs.belief.gaussian import Belief, prior_variance
from envs.belief.score import PENALTY, score_and_violation
from envs.belief.shortlist import candidate_pool
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.simulator.window_noise import WINDOW_S, noise_spread
from envs.spec import Configuration, Objective, margins

#: Draws of the parameters that a shortlist must serve, and of those that a belief is made of: the
#: latter estimate covariances, which takes more.
DRAWS, BELIEF_DRAWS = 64, 320

#: Directions that are kept of the belief, and configurations on a shortlist.
DIRECTIONS, SHORTLIST = 24, 80

#: By how much tighter than given a limit is taken, in logarithms, while a shortlist is drawn up:
#: whoever aims at the limit itself misses it half of the time, so that the shortlist needs safe
#: configurations as well.
MARGINS = (0.0, 0.05, 0.1, 0.2, 0.4)

#: Rows of the pool that are looked at together while a shortlist is drawn up.
LOOKED_AT = 32

#: Where limits can barely be kept, coming close matters more than the score: a distance of
#: 1 / SAFETY counts as much as a factor of e.
SAFETY = 30.0


@dataclass(frozen=True)
class Prior:
    """Shortlist and belief for one problem.

    Attributes:
        placements: [M, T, A, 2], the first of them being the start of every search.
        mean, residual_variance: [Q, M].
        loadings: [R, Q x M].
        throughput_ips: [T], the median over the shortlist by the fitted model.
        processor_p99_ms: [T], the same of p99 where a processor serves; None for a board.
    """

    placements: Placements
    mean: Floats
    loadings: Floats
    residual_variance: Floats
    throughput_ips: FloatArray
    processor_p99_ms: FloatArray | None = None

    def belief(self) -> Belief:
        """Return the belief as a batch of one."""
        return Belief.of(self.mean[None], self.loadings[None], self.residual_variance[None])

    def noise(self, window_s: float = WINDOW_S) -> FloatArray:
        """Return the variances [Q] that are expected of a window."""
        return noise_spread(self.throughput_ips, window_s, self.processor_p99_ms) ** 2

    def sure(self, objective: Objective) -> Rows:
        """Return the rows of the shortlist that are believed sure to keep the limits."""
        spread = np.sqrt(prior_variance(self.loadings[None], self.residual_variance[None]))
        beyond = margins(self.mean[None], objective.log_limits[None])
        chance = chance_of_keeping(np.clip(beyond / spread, -8.0, 8.0))
        return np.flatnonzero(chance[0] >= MIN_FEASIBLE_CHANCE)

    def starting_at(self, row: int) -> Prior:
        """Return the same with another row of the shortlist in the first place."""
        order = [row, *(each for each in range(len(self.placements)) if each != row)]
        loadings = self.loadings.reshape(len(self.loadings), *self.mean.shape)[:, :, order]
        return replace(
            self,
            placements=self.placements[order],
            mean=self.mean[:, order],
            loadings=loadings.reshape(self.loadings.shape),
            residual_variance=self.residual_variance[:, order],
        )


def prior_of(
    model: DeviceModel,
    objective: Objective,
    rng: np.random.Generator,
    candidates: Placements | None = None,
    size: int = SHORTLIST,
    start: Configuration | None = None,
    measured: Sequence[Configuration] = (),
    scouts: Contexts | None = None,
) -> Prior:
    """Make shortlist and belief.

    Args:
        model: of the device and its networks.
        objective: the limits.
        rng: for the draws of the model's parameters.
        candidates: [N, T, A, 2] to choose from; None for the whole space.
        size: of the shortlist, which is shorter only where the space has fewer configurations.
        start: the first measurement of every search. Where it is not given, the configuration with
            the best score of those that are sure to keep the limits, whatever is uncertain.
        measured: configurations that were measured before, which the shortlist includes.
        scouts: draws that the shortlist must serve, where measurements tell more than the model;
            the belief is that of the model all the same.
    """
    draws = model.drawn(rng, DRAWS) if scouts is None else scouts
    if candidates is None or len(candidates) > size:
        pool = candidate_pool(model, draws, objective, rng, candidates)
        chosen = pool[_covering(model, draws, pool, objective, size)]
    else:
        chosen = candidates
    first = [each.array() for each in dict.fromkeys([*([start] if start else []), *measured])]
    if first:
        again = np.isin(model.space.codes(chosen), model.space.codes(np.stack(first)))
        chosen = np.concatenate([np.stack(first), chosen[~again]])
    placements = chosen[:size]
    samples = model.logarithms(model.drawn(rng, BELIEF_DRAWS), placements)
    mean, loadings, residual = factor(samples, DIRECTIONS)
    residual = residual + model.own_departures(placements)[1]
    tenants = model.space.shape[0]
    fitted = model.logarithms(model.nominal(), placements)[0, : 2 * tenants]
    ips, p99_ms = np.split(np.exp(np.median(fitted, axis=1)), 2)
    late = p99_ms if model.machine.plain else None
    prior = Prior(placements, mean, loadings, residual, ips, late)
    return prior if start is not None else prior.starting_at(_surest(model, samples, objective))


def starting_configuration(
    model: DeviceModel, objective: Objective, candidates: Placements | None = None
) -> Configuration:
    """Return the first configuration to measure where nothing is served yet, see `prior_of`."""
    prior = prior_of(model, objective, np.random.default_rng(0), candidates)
    return Configuration.of(prior.placements[0])


def _surest(model: DeviceModel, samples: FloatArray, objective: Objective) -> int:
    """Return the row with the best score of those that are sure enough to keep the limits.

    Where none is, it is the one that comes closest: a device that serves already must not break a
    limit.
    """
    score, violation = score_and_violation(model, samples, objective)
    chance = (violation <= 0).mean(axis=0)
    beyond = np.maximum(violation.mean(axis=0), 0.0)
    worth = worth_staying(score.mean(axis=0), chance) - PENALTY * beyond
    return int(worth.argmax())


def _covering(
    model: DeviceModel, draws: Contexts, pool: Placements, objective: Objective, size: int
) -> Rows:
    """Choose rows of the pool such that each draw has a good configuration at every margin.

    It is greedy facility location.
    """
    logs = model.logarithms(draws, pool)  # [C, Q, N]
    score, violation = score_and_violation(model, logs, objective)
    worth = []
    for margin in MARGINS:
        value = score - 8.0 * np.maximum(violation + margin, 0.0)
        worth.append(np.exp(value - value.max(axis=1, keepdims=True)))
    safety = -SAFETY * np.maximum(violation, violation.min(axis=1, keepdims=True))
    worth.append(np.exp(safety - safety.max(axis=1, keepdims=True)))
    # [C x margins, N], of the best under that draw and margin
    shares = np.concatenate(worth).astype(np.float32)
    covered = np.zeros(len(shares), dtype=np.float32)
    usual = 1e-3 * shares.mean(axis=0)
    # What a configuration adds only falls while others are chosen, so that those whose earlier
    # gain is below the best of the present ones need no second look.
    gain = np.maximum(shares, 0.0).sum(axis=0) + usual
    chosen: list[int] = []
    for _ in range(min(size, len(pool))):
        chosen.append(next_to_cover(shares, covered, usual, gain))
        covered = np.maximum(covered, shares[:, chosen[-1]])
        gain[chosen[-1]] = -1.0
    return np.array(chosen)


def next_to_cover(shares: Single, covered: Single, usual: Single, gain: Single) -> int:
    """Return the first of the rows of the pool that add most to what is covered.

    Args:
        shares: [D, N] of the best, by draw and margin.
        covered: [D], by what was chosen before.
        usual: [N], added to the gain of each.
        gain: [N], each as it was when it was looked at last; changed in place.
    """
    fresh = np.zeros(len(gain), dtype=bool)
    while True:
        top = np.argpartition(-gain, LOOKED_AT)[:LOOKED_AT] if len(gain) > LOOKED_AT else None
        rows = np.arange(len(gain)) if top is None else np.sort(top)
        stale = rows[~fresh[rows] & (gain[rows] >= 0)]
        if not len(stale):
            return int(rows[gain[rows].argmax()])
        added = np.maximum(shares[:, stale] - covered[:, None], 0.0).sum(axis=0)
        gain[stale] = added + usual[stale]
        fresh[stale] = True
