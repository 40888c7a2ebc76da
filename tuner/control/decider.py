"""What the policy would do next on a device that serves, under conditions that change."""

from __future__ import annotations

from collections.abc import Callable

from envs.configuration import Configuration, Placements
from envs.measurement import Measurement, Outcome
from envs.objective import Objective
from envs.simulator.device_model import DeviceModel
from envs.simulator.prior import starting_configuration
from tuner.policy.bundle import Bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Problem

#: Windows of a configuration that count when limits change: enough to average, few enough to be of now.
LATEST = 3


class Decider:
    """A learned tuner that outlives limits and rates: it is made anew when they change, and told what still counts of what was measured.

    Args:
        model_at: the device model at arrival rates [T], infinite for a closed loop. possible: [N, T, A, 2], what can be served.
    """

    def __init__(
        self,
        bundle: Bundle,
        model_at: Callable[[tuple[float, ...]], DeviceModel],
        possible: Placements,
        objective: Objective,
        rates_ips: tuple[float, ...],
    ) -> None:
        self._bundle = bundle
        self._model_at = model_at
        self._possible = possible
        self._seen: dict[Configuration, list[Measurement]] = {}
        self._failed: set[Configuration] = set()
        self.objective, self.rates_ips = objective, rates_ips
        self._renew()

    @property
    def safe(self) -> Configuration:
        """Where to start, by the model alone."""
        return self._problem.default

    def experiment(self) -> Configuration | None:
        """What is worth measuring next; None once nothing is, or the policy's budget is used up."""
        if self._tuner.left <= 0:
            return None
        proposed = self._tuner.ask() if self._seen or self._failed else self._tuner.surest
        return None if proposed in self._seen or proposed in self._failed else proposed

    def resting(self, current: Configuration | None = None) -> list[Configuration]:
        """What was measured and kept the limits, the best to stay with first, `current` being what serves now."""
        return self._tuner.resting(current)

    def least(self) -> Configuration | None:
        """What came closest to the limits where nothing kept them."""
        return self._tuner.least if self._seen else None

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn from a period."""
        if isinstance(outcome, Measurement):
            first = configuration not in self._seen
            self._seen.setdefault(configuration, []).append(outcome)
            (self._tuner.tell if first else self._tuner.learn)(configuration, outcome)
        else:
            self._failed.add(configuration)
            self._tuner.tell(configuration, outcome)

    def ask_for(self, objective: Objective) -> None:
        """Other limits: what was measured still holds, whether it keeps them is seen anew."""
        self.objective = objective
        self._renew()

    def expect(self, rates_ips: tuple[float, ...]) -> None:
        """Other arrivals: what was measured says little about them."""
        self.rates_ips = rates_ips
        self.forget()

    def forget(self) -> None:
        """The device is not what it was (heat, power mode, a neighbour): nothing that was measured counts any more, failures included."""
        self._seen.clear()
        self._failed.clear()
        self._renew()

    def _renew(self) -> None:
        model = self._model_at(self.rates_ips)
        start = next(iter(self._seen), None) or starting_configuration(model, self.objective)
        self._problem = Problem(model.space, self._possible, self.objective, start, model=model, known=tuple(self._seen))
        self._tuner = LearnedTuner(self._bundle, self._problem)
        for configuration, outcomes in self._seen.items():
            for outcome in outcomes[-LATEST:]:
                self._tuner.learn(configuration, outcome)
