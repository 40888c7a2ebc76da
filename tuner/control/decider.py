"""Decide what to measure next, and what to serve, while conditions change."""

import logging
import math
from dataclasses import replace

from envs.arrays import Placements
from envs.belief.assess import MIN_FEASIBLE_CHANCE
from envs.belief.features import PROPOSALS
from envs.belief.risk import BALANCED
from envs.problems.problem import WIDE, shortlist_problem
from envs.spec import Configuration, ConfigurationSpace, Objective, Outcome
from envs.spec.change_cost import DELAYED_SHARE
from envs.spec.validity import VALID, judge
from tuner.control.changes import Changes
from tuner.model_at import ModelAt
from tuner.policy.bundle import Bundle
from tuner.policy.online_tuner import OnlineTuner
from tuner.policy.thresholds import DEFAULT_THRESHOLDS, Thresholds
from tuner.policy.window_history import DeviceHistory

_log = logging.getLogger(__name__)

#: Time in which a gain has to make up for the requests that a change delays: as long as conditions
#: are expected to last. Assumed.
PAYBACK_S = 300.0

#: Fields of a space by which the one that may be chosen from differs from that of the model.
NARROWING = ("unavailable", "unavailable_batches", "blocks", "max_total_instances")


class Decider:
    """A learned tuner that outlives limits and rates.

    When they change, a new tuner learns from the measurements that still count.

    Args:
        model_at: returns the model of the device at arrival rates [T].
        possible: [N, T, A, 2], what can be served; None for every valid configuration.
        first: what to measure first, such as the last good configuration of an earlier run; None
            to follow the model.
        offered: the space of what may be chosen now, see `Offer`; None for that of the model.
        risk: the price of a broken limit, see `envs.belief.risk`.

    Attributes:
        start: the configuration that the model would begin with under the present limits.
    """

    start: Configuration
    _tuner: OnlineTuner
    _is_offered: bool  # whether the first configuration may be chosen now

    def __init__(
        self,
        bundle: Bundle,
        model_at: ModelAt,
        possible: Placements | None,
        objective: Objective,
        rates_ips: tuple[float, ...],
        first: Configuration | None = None,
        thresholds: Thresholds = DEFAULT_THRESHOLDS,
        offered: ConfigurationSpace | None = None,
        risk: float = BALANCED,
        changes: Changes | None = None,
    ) -> None:
        self._offered, self._risk, self._changes = offered, risk, changes or Changes()
        self._bundle, self._model_at, self._possible = bundle, model_at, possible
        self._objective, self._rates_ips, self._first = objective, rates_ips, first
        self._thresholds = thresholds
        self._history = DeviceHistory(thresholds)
        self._measured: set[Configuration] = set()
        if bundle.twin is not None:
            _log.info("%s", bundle.twin.remark(model_at(rates_ips)))
        self._settled = False  # nothing more was worth measuring
        self._serving: Configuration | None = None
        self._served_periods = 0  # before the last one, in a row
        self._renew()

    def experiment(self) -> Configuration | None:
        """Return the configuration worth measuring next, or None.

        Once nothing is, or the policy's budget is used up, it returns from time to time what may
        be better than the one that serves.
        """
        tuner = self._tuner
        if tuner.left <= 0 or self._settled:
            return self._recheck()
        if self._first is not None and self._first not in self._measured and self._is_offered:
            return self._first
        # While nothing is known to keep the limits, the safest configuration comes first; later it
        # comes where the policy would wait.
        proposals = (tuner.ask, tuner.safest)
        for propose in proposals if tuner.good_configurations() else reversed(proposals):
            proposed = propose()
            known = proposed in self._measured
            if not known and tuner.worth_measuring(proposed) and self._pays(proposed):
                return proposed
        self._settled = True
        return None

    def _pays(self, proposed: Configuration) -> bool:
        """Return True if what may be gained makes up for the requests that changing delays.

        The way back counts, too. Engines that still have to be built delay nobody.
        """
        if self._serving is None:
            return True
        there = self._changes_s(self._serving, proposed)
        delayed_s = DELAYED_SHARE.value * (there + self._changes_s(proposed, self._serving))
        return self._tuner.hoped_gain_log(proposed) * PAYBACK_S >= delayed_s

    def _changes_s(self, before: Configuration, after: Configuration) -> float:
        space = self._offered or self._model_at(self._rates_ips).space
        return self._changes.seconds(space, before, after)

    def safest(self) -> Configuration:
        """Return what is believed to keep the limits best, measured or not."""
        return self._tuner.safest()

    def describe(self, configuration: Configuration) -> str:
        """Return what is believed of a configuration, in words; empty for no candidate."""
        tuner = self._tuner
        chance = tuner.chance_of(configuration)
        if chance is None:
            return ""
        least = " or more" * (chance >= MIN_FEASIBLE_CHANCE)
        sure = f"its chance to keep the limits is believed to be {100 * chance:.1f} %{least}"
        if configuration in self._measured:
            return sure
        gain_log = tuner.hoped_gain_log(configuration)
        if not 0 < gain_log < math.inf:
            return sure
        return f"the score may grow by up to {100 * math.expm1(gain_log):.0f} %; {sure}"

    def _recheck(self) -> Configuration | None:
        """Return what may be faster after all: noise hides small differences, and devices drift."""
        if self._serving is None or self._served_periods == 0:
            return None
        return self._tuner.maybe_faster(self._serving, self._served_periods)

    def good_configurations(self, current: Configuration | None = None) -> list[Configuration]:
        """Return the configurations that kept the limits when measured, the best first.

        Args:
            current: the one that serves now; leaving it has to be worth something.
        """
        return self._tuner.good_configurations(current)

    def least_violating(self) -> Configuration | None:
        """Return what came closest to the limits; None if nothing was measured."""
        return self._tuner.least_violating if self._history.windows else None

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn from a period."""
        again = configuration in self._measured
        self._measured.add(configuration)
        self._served_periods = self._served_periods + 1 if configuration == self._serving else 0
        self._serving = configuration
        if again or self._tuner.left <= 0:
            self._tuner.tell_again(configuration, outcome)
        else:
            self._tuner.tell(configuration, outcome)
        if not again or self._tuner.broke:
            self._settled = False

    def sigmas_beyond(self, configuration: Configuration, outcome: Outcome) -> float:
        """Return by how many standard deviations a window is beyond what is expected of it."""
        return self._tuner.sigmas_beyond(configuration, outcome)

    def set_objective(
        self,
        objective: Objective,
        offered: ConfigurationSpace | None = None,
        risk: float | None = None,
    ) -> None:
        """Change goal and limits: measurements still count, and are judged by the new ones.

        Args:
            objective: the new goal and limits.
            offered: the space that may be chosen from under them; None for the same as before.
            risk: the price of a broken limit; None for the same as before.
        """
        self._objective, self._offered = objective, offered or self._offered
        self._risk = self._risk if risk is None else risk
        self._renew()

    def offer(self, offered: ConfigurationSpace) -> None:
        """Change the space that may be chosen from; measurements still count."""
        self._offered = offered
        self._renew()

    def set_rates(self, rates_ips: tuple[float, ...], objective: Objective | None = None) -> None:
        """Change the assumed arrivals, [T]: measurements say little about new ones.

        Args:
            rates_ips: the new ones.
            objective: with least rates that fit them; None for the same as before.
        """
        self._rates_ips, self._objective = rates_ips, objective or self._objective
        self.forget()

    def forget(self, first: Configuration | None = None) -> None:
        """Forget all measurements, failures included: the device is not what it was.

        Args:
            first: what to measure first; None to follow the model.
        """
        self._history.forget()
        self._measured.clear()
        self._first = first
        self._renew()

    def _renew(self) -> None:
        self._settled = False
        model = self._model_at(self._rates_ips)
        if self._bundle.twin is not None:
            model = self._bundle.twin.informed(model)
        space = model.space
        if (offered := self._offered) is not None:
            space = replace(space, **{name: getattr(offered, name) for name in NARROWING})
            model = replace(model, space=space)
        possible = self._possible
        if possible is not None:
            possible = possible[judge(space, possible) == VALID]
        before = [
            *([self._first] if self._first else []),
            *self._history.windows.configurations()[PROPOSALS - WIDE :],  # leaves room for others
        ]
        # What was measured, or should be, may be no choice now.
        measured = [each for each in before if judge(space, each.array()[None])[0] == VALID]
        self._is_offered = self._first in measured
        problem = shortlist_problem(model, self._objective, possible, measured=measured)
        self.start = problem.default
        history, thresholds = self._history, self._thresholds
        self._tuner = OnlineTuner(self._bundle, problem, history, thresholds, self._risk)
