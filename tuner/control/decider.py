"""What the policy would do next on a device that serves, under conditions that change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.arrays import Placements
from envs.belief.prior import prior_of
from envs.problems.problem import WIDE, Problem
from envs.simulator.device_model import DeviceModel
from envs.spec.measurement import Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration
from tuner.policy.bundle import Bundle
from tuner.policy.online_tuner import ServiceTuner
from tuner.policy.window_history import History

Models = Callable[[tuple[float, ...]], DeviceModel]

#: Configurations measured before that are on a new shortlist: they must not crowd out what is new.
KNOWN = WIDE // 2

#: Times in a row that nothing is worth measuring, after which the search is over until a limit breaks or conditions change.
SETTLED = 3

#: Periods of the same configuration after which it is asked whether another one is not faster after all.
AGAIN = 10


class Decider:
    """A learned tuner that outlives limits and rates: it is made anew when they change, and told what still counts of what was measured.

    Args:
        model_at: the device model at arrival rates [T], infinite for a closed loop.
        possible: [N, T, A, 2], what can be served; None where every valid configuration can.
        first: what to measure first, as the last good configuration of an earlier run; None to go by the model.

    Attributes:
        safe: the most throughput that is sure to keep the limits, by the model alone; renewed with the limits and rates.
    """

    _tuner: ServiceTuner

    def __init__(
        self,
        bundle: Bundle,
        model_at: Models,
        possible: Placements | None,
        objective: Objective,
        rates_ips: tuple[float, ...],
        first: Configuration | None = None,
    ) -> None:
        self._bundle, self._model_at, self._possible = bundle, model_at, possible
        self._first = first
        self._tried: set[Configuration] = set()
        self._history = History()
        self._settled = 0  # times in a row that nothing was worth measuring
        self._serving: Configuration | None = None
        self._since = 0  # periods that it has served before the last one
        self.objective, self.rates_ips = objective, rates_ips
        self._renew()

    def experiment(self) -> Configuration | None:
        """What is worth measuring next; once nothing is, or the policy's budget is used up, at times what may be faster after all, and else None."""
        if self._tuner.left <= 0 or self._settled >= SETTLED:
            return self._again()
        if self._first is not None and self._first not in self._tried:
            return self._first
        tuner = self._tuner
        # While nothing is known to keep the limits, what is surest to comes first; later, where the policy would wait.
        asks = (tuner.ask, tuner.most_sure)
        for ask in asks if tuner.resting() else reversed(asks):
            proposed = ask()
            if proposed not in self._tried and tuner.worthwhile(proposed):
                return proposed
        # Service lasts: what is left of the budget goes into what is safe, lest the model be wrong.
        if (safe := tuner.unexplored()) is not None and safe not in self._tried:
            return safe
        self._settled += 1
        return None

    def _again(self) -> Configuration | None:
        """Windows that scatter hide what is faster by a little, and devices drift: look again from time to time."""
        if self._serving is None or self._since == 0 or self._since % AGAIN:
            return None
        return self._tuner.promising(self._serving, self._since)

    def resting(self, current: Configuration | None = None) -> list[Configuration]:
        """What was measured and kept the limits, the best to stay with first, `current` being what serves now."""
        return self._tuner.resting(current)

    def least(self) -> Configuration | None:
        """What came closest to the limits where nothing kept them."""
        return self._tuner.least if self._history.evidence else None

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn from a period."""
        again = configuration in self._tried
        self._tried.add(configuration)
        self._since = self._since + 1 if configuration == self._serving else 0
        self._serving = configuration
        (self._tuner.repeat if again or self._tuner.left <= 0 else self._tuner.tell)(
            configuration, outcome
        )
        if not again or self._tuner.broke:
            self._settled = 0

    def surprised(self, configuration: Configuration, outcome: Outcome) -> bool:
        """Whether a period says that the device is not what it was, and not just that windows scatter."""
        return self._tuner.surprising(configuration, outcome)

    def ask_for(self, objective: Objective) -> None:
        """Other limits: what was measured still holds, whether it keeps them is seen anew."""
        self.objective = objective
        self._renew()

    def expect(self, rates_ips: tuple[float, ...]) -> None:
        """Other arrivals: what was measured says little about them."""
        self.rates_ips = rates_ips
        self.forget()

    def forget(self, first: Configuration | None = None) -> None:
        """The device is not what it was (heat, power mode, a neighbour): nothing that was measured counts any more, failures included.

        Args:
            first: what to measure first; None to go by the model.
        """
        self._history.forget()
        self._tried.clear()
        self._first = first
        self._renew()

    def _renew(self) -> None:
        self._settled = 0
        model = self._model_at(self.rates_ips)
        known = [
            *([self._first] if self._first else []),
            *self._history.evidence.configurations()[-KNOWN:],
        ]
        prior = prior_of(
            model, self.objective, np.random.default_rng(0), self._possible, WIDE, known=known
        )
        self.safe = Configuration.of(prior.placements[0])
        problem = Problem(
            model.space,
            prior.placements,
            self.objective,
            self.safe,
            model=model,
            open=True,
            shared={"prior": prior},
        )
        self._tuner = ServiceTuner(self._bundle, problem, self._history)
