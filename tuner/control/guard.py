"""The guard between what proposes and the device: which configuration may serve next."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

from envs.errors import ConfigurationError
from envs.spec import Configuration, ConfigurationSpace
from tuner.control.ladder import Ladder
from tuner.control.shedding import without_best_effort
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

#: Why an experiment serves; the policy adds what it hopes for.
PROPOSED = "the policy proposed to measure it"


class Phase(str, Enum):
    """The reason for the configuration that a period serves."""

    SEARCHING = "searching"
    HOLDING = "holding"
    RETURNED = "returned"
    SHED = "shed"
    SAFE = "safe"


@dataclass(frozen=True)
class Choice:
    """The choice for the next period.

    Attributes:
        configuration: the one that serves.
        phase: why.
        refused: why the proposal may not be served; empty if it may, or if there is none.
        why: the reason for the configuration, for people.
    """

    configuration: Configuration
    phase: Phase
    refused: str = ""
    why: str = field(default="", compare=False)


class Guard:
    """Let one change through a period, and only onto valid configurations.

    A configuration that breaks a limit leaves the device in the next period. Where it was known to
    be good, best effort is shed first: the critical tenants keep what they have. An experiment (a
    configuration that was not measured since conditions changed) lasts one period. If it breaks a
    limit, or cannot be measured, the next period serves a configuration known to be good, and there
    are no experiments for `cooldown` periods. While no configuration is known to keep the limits,
    the search continues, after a failure from the safe default. When nothing is left to try, the
    configuration that came closest serves.

    Args:
        ladder: what serves when nothing is known.
        good: known from an earlier run to keep the limits; None for nothing.
        cooldown: periods without experiments after a limit was broken.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        ladder: Ladder,
        good: Configuration | None = None,
        cooldown: int = DEFAULT_THRESHOLDS.in_a_row,
    ) -> None:
        self._space, self.ladder = space, ladder
        self._checked: dict[Configuration, str] = {}  # to check takes as long as to choose
        self.good = good if good is not None and not self.refusal(good) else None
        self._cooldown = cooldown
        self._cooldown_left = 0
        self._broken: Configuration | None = None
        self._shed: Configuration | None = None
        self._failed = False

    @property
    def safe(self) -> Configuration:
        """Return the safe default, or what takes its place after it failed."""
        return self.ladder.current

    def fallback(self, tried: Collection[Configuration]) -> Configuration | None:
        """Return what to serve at once after these failed; None if nothing is left."""
        good = self.good
        if good is not None and good not in tried and not self.refusal(good):
            return good
        return self.ladder.next_of(tried)

    def choose(
        self,
        experiment: Configuration | None,
        good_configurations: Callable[[], Sequence[Configuration]],
        least_violating: Callable[[], Configuration | None],
    ) -> Choice:
        """Return what the next period serves.

        The last two arguments are called only where they matter.

        Args:
            experiment: the configuration proposed to be measured, if any.
            good_configurations: returns those that kept the limits when measured, the best first.
            least_violating: returns what came closest to the limits; None if nothing was measured.
        """
        broken, self._broken = self._broken, None
        shed, self._shed = self._shed, None
        failed, self._failed = self._failed, False
        refused = self.refusal(experiment) if experiment is not None else ""
        if shed is not None and not self.refusal(shed):
            return Choice(shed, Phase.SHED, refused, "a critical network was late before")
        new = None if refused or experiment == broken else experiment
        if new is not None and broken is None and not self._cooldown_left:
            return Choice(new, Phase.SEARCHING, why=PROPOSED)
        good = self.good
        if good is not None and (good == broken or self.refusal(good)):
            good = None
        fallback = self._first_allowed(good_configurations(), good, broken)
        if broken is not None and fallback is not None:
            why = "what served before it broke a limit; this is the last that kept them"
            return Choice(good or fallback, Phase.RETURNED, refused, why)
        if failed and fallback is None and broken != self.safe:
            why = "what was tried could not be measured, and nothing is known to keep the limits"
            return Choice(self.safe, Phase.SAFE, refused, why)
        if new is not None and not (self._cooldown_left and fallback is not None):
            return Choice(new, Phase.SEARCHING, why=PROPOSED)
        self._cooldown_left = max(self._cooldown_left - 1, 0)
        if fallback is not None:
            why = "the policy prefers it to all that was measured and kept the limits"
            return Choice(fallback, Phase.HOLDING, refused, why)
        closest = least_violating()
        if closest is not None and not self.refusal(closest):
            why = "nothing that was measured keeps the limits; this came closest"
            return Choice(closest, Phase.HOLDING, refused, why)
        return Choice(self.safe, Phase.SAFE, refused, "nothing is known to keep the limits")

    def _first_allowed(
        self,
        measured: Sequence[Configuration],
        good: Configuration | None,
        broken: Configuration | None,
    ) -> Configuration | None:
        """Return the first good configuration that is valid and did not break a limit just now."""
        allowed = (
            each
            for each in (*measured, good)
            if each is not None and each != broken and not self.refusal(each)
        )
        return next(allowed, None)

    def record(self, configuration: Configuration, kept: bool, failed: bool = False) -> None:
        """Take note of a period.

        Args:
            configuration: the one that served.
            kept: True if every limit was kept, by measurement.
            failed: True if it could not be measured.
        """
        self.ladder.record(configuration, failed)
        if configuration == self.ladder.reserve:
            return
        if kept:
            self.good = configuration
            return
        self._broken, self._failed = configuration, failed
        self._cooldown_left = self._cooldown
        if configuration == self.good:
            self.good = None
            if not failed:
                self._shed = without_best_effort(self._space, configuration)

    def conditions_changed(self, still_good: bool) -> None:
        """Take note of other conditions: experiments are allowed at once.

        Args:
            still_good: True if the last good configuration still counts as good.
        """
        self._cooldown_left = 0
        self.good = self.good if still_good else None

    def narrow(self, space: ConfigurationSpace) -> None:
        """Let through only what is valid in another space from now on, of the same shape."""
        self._space = space
        self._checked.clear()

    def refusal(self, configuration: Configuration) -> str:
        """Return why a configuration may not be served; empty if it may."""
        if configuration not in self._checked:
            try:
                self._space.check(configuration)
                self._checked[configuration] = ""
            except ConfigurationError as error:
                self._checked[configuration] = str(error)
        return self._checked[configuration]
