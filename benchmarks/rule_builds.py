"""Time to a good configuration where engines have to be built: of tuners, and of one who knows.

How fast any tuner could be is bounded by one who knows the best configurations beforehand: it waits
for the default, which is measured first, and then for the change to the configuration that it is
after, with the engines of it that are not built yet, and for one window of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from benchmarks.figures import Figure, figure
from benchmarks.rule_settings import BUDGET_S, EVERY_S
from envs.arrays import FloatArray, Rows, Single
from envs.belief.features import CANDIDATE_FEATURES, FEATURES
from envs.episode import Episodes
from envs.problems.world import World
from tuner.evaluation.rollouts import Decide, Played, RollOut, roll_out
from tuner.search.expected_gain import rule_choices

#: Tuners by name: the policy, and the rule that does not know costs, which the policy is held to.
POLICY, RULE, BLIND_RULE = "policy", "rule", "rule that does not know costs"
BLIND_POLICY, BOUND = "policy that is told equal costs", "bound, by one who knows the best"

#: Shares of the optimum to which the time is taken.
REACHED = (0.95, 0.98)

#: The policy is to take at most this share of the time of one that does not know costs.
WANTED = "<= 0.7"

#: Features that tell costs, and those that tell the same where all costs are equal.
TOLD_EQUAL = {"gain_per_second": "net_gain", "relative_gain_per_second": "relative_gain"}


def told_equal_costs(decide: Decide) -> Decide:
    """Return the decisions of a tuner that is told that every measurement takes one window.

    It still sees the proposals of one who knows costs, and how much of the time is left.
    """
    assert all(CANDIDATE_FEATURES[to] == CANDIDATE_FEATURES[of] for to, of in TOLD_EQUAL.items())

    def blind(seen: Single) -> Rows:
        told = seen.copy()
        told[..., FEATURES.index("log_cost")] = 0.0
        for to, of in TOLD_EQUAL.items():
            told[..., FEATURES.index(to)] = seen[..., FEATURES.index(of)]
        return decide(told)

    return blind


def bound(world: World, options: RollOut) -> Played:
    """Return the best that one who knows the best configurations reaches after each time.

    Its "measurements" [S, repeats, M + 1] are the default, and then every candidate that could be
    measured next, by the time at which its first window would end; `share` is that of the best
    until then. It measures no other, so that nothing it does can break a limit.
    """
    episodes, _ = next(roll_out(world, rule_choices, options))
    first_s, start = episodes.progress.spent_s.copy(), episodes.progress.best.copy()
    after_s = first_s[:, None] + _next_s(episodes)
    shares = _shares(episodes)
    own = np.where(start >= 0, np.minimum(episodes.share(), 1.0), 0.0)
    seconds = np.concatenate([first_s[:, None], after_s], axis=1)
    share = np.concatenate([own[:, None], shares], axis=1)
    order = seconds.argsort(axis=1)
    spent_s = np.take_along_axis(seconds, order, axis=1)
    best = np.maximum.accumulate(np.take_along_axis(share, order, axis=1), axis=1)
    shape = (options.repeats, len(world.problems), best.shape[1])
    best, spent_s = (each.reshape(shape).transpose(1, 0, 2) for each in (best, spent_s))
    return Played(best, np.zeros(best.shape, dtype=bool), spent_s, options.budget_s)


def _next_s(episodes: Episodes) -> FloatArray:
    """Return the seconds [B, M] that measuring each candidate truly takes next."""
    problems, at, loading = episodes.problems, episodes.problem, episodes.loading
    missing = problems.engines[at] & ~loading.built[:, None]
    builds_s = (missing * problems.build_s[at][:, None]).sum(axis=2)
    change_s = problems.change_s[at, loading.serving]
    seconds = problems.window_s[at][:, None] + change_s + builds_s
    return np.where(problems.present[at], seconds, np.inf).astype(np.float64)


def _shares(episodes: Episodes) -> FloatArray:
    """Return the share [B, M] of each candidate, if it is the best so far."""
    progress = episodes.progress
    kept, shares = progress.best.copy(), []
    for candidate in range(episodes.problems.candidates):
        progress.best[:] = candidate
        shares.append(np.nan_to_num(np.minimum(episodes.share(), 1.0)))
    progress.best[:] = kept
    return np.stack(shares, axis=1)


def figures_of_builds(start: str, tuners: Mapping[str, Sequence[Played]]) -> list[Figure]:
    """Return the seconds that tuners take, those that never get there at the end.

    Args:
        start: of the names of the figures.
        tuners: the episodes of each bundle, by the names above.
    """
    found: list[Figure] = []
    grid_s = np.arange(EVERY_S, BUDGET_S + 1, EVERY_S)
    for share in REACHED:
        to = f"time to {100 * share:g} % of the optimum"
        took_s = {
            name: [np.minimum(each.seconds_to(share), BUDGET_S) for each in played]
            for name, played in tuners.items()
        }
        for word, mean in (("median", np.median), ("mean", np.mean)):
            value_s = {name: float(mean(each)) for name, each in took_s.items()}
            found += [
                figure(f"{start}: {name}, {word} {to}", s, "s") for name, s in value_s.items()
            ]
            early = (word, share) == ("median", REACHED[0])
            for name, other in product((POLICY, BOUND), (BLIND_RULE, BLIND_POLICY)):
                if name in tuners and other in tuners:
                    goal = WANTED if early and (name, other) == (POLICY, BLIND_RULE) else ""
                    label = f"{start}: {name} over {other}, {word} {to}"
                    found.append(figure(label, value_s[name] / value_s[other], "", goal))
    for name, played in tuners.items():
        area = float(np.mean([each.at(grid_s) for each in played]))
        label = f"{start}: {name}, share of the optimum in the mean over {BUDGET_S:g} s"
        found.append(figure(label, 100 * area, "%"))
    return found
