"""The guard between what proposes and the device: which configuration the next control period may serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from envs.errors import ConfigurationError
from envs.spec.space import Configuration, ConfigurationSpace


class Phase(str, Enum):
    """Why a period serves what it serves."""

    SEARCHING = "searching"
    HOLDING = "holding"
    RETURNED = "returned"
    SAFE = "safe"


@dataclass(frozen=True)
class Choice:
    """What the next period serves, and why; `refused` says what was wrong with the proposal, if there was one that may not be served."""

    configuration: Configuration
    phase: Phase
    refused: str = ""


class Guard:
    """Lets one change through a period, and only onto valid configurations; whatever breaks a limit is off the device in the next period.

    An experiment (a configuration that was not measured since conditions changed) lasts one period. If it breaks a limit, or cannot be measured,
    the next period serves what is known to be good, and experiments rest for `cooldown` periods. While nothing is known to keep the limits there is
    nothing to lose: the search goes on, after a failure from the safe default; once there is nothing left to try, what comes closest is served.

    Args:
        safe: served when nothing is known.
        good: known from an earlier run to keep the limits, if any.
        cooldown: periods without experiments after a limit was broken.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        safe: Configuration,
        good: Configuration | None = None,
        cooldown: int = 3,
    ) -> None:
        space.check(safe)
        self._space = space
        self._checked: dict[
            Configuration, str
        ] = {}  # a period has the same few to choose from, and checking takes as long as choosing
        self.safe = safe
        self.good = good if good is not None and not self.refusal(good) else None
        self._cooldown = cooldown
        self._quiet = 0
        self._broken: Configuration | None = None
        self._failed = False

    def choose(
        self,
        experiment: Configuration | None,
        resting: Callable[[], Sequence[Configuration]],
        least: Callable[[], Configuration | None],
    ) -> Choice:
        """What the next period serves.

        Args:
            experiment: what is proposed to be tried; None for nothing. resting: what was measured and kept the limits, the best of it first.
            least: what came closest where nothing did; None where nothing was measured. Both are asked only where it matters.
        """
        broken, self._broken = self._broken, None
        failed, self._failed = self._failed, False
        refused = self.refusal(experiment) if experiment is not None else ""
        new = (
            experiment if experiment is not None and not refused and experiment != broken else None
        )
        if new is not None and broken is None and not self._quiet:
            return Choice(new, Phase.SEARCHING)
        good = None if self.good == broken else self.good
        known = next(
            (
                each
                for each in (*resting(), good)
                if each is not None and each != broken and not self.refusal(each)
            ),
            None,
        )
        if broken is not None and known is not None:
            return Choice(good or known, Phase.RETURNED, refused)
        if failed and known is None and broken != self.safe:
            return Choice(self.safe, Phase.SAFE, refused)
        if new is not None and not (self._quiet and known is not None):
            return Choice(new, Phase.SEARCHING)
        self._quiet = max(self._quiet - 1, 0)
        if known is not None:
            return Choice(known, Phase.HOLDING, refused)
        closest = least()
        if closest is not None and not self.refusal(closest):
            return Choice(closest, Phase.HOLDING, refused)
        return Choice(self.safe, Phase.SAFE, refused)

    def judged(self, configuration: Configuration, kept: bool, failed: bool = False) -> None:
        """What a period said of what it served: whether every limit was kept, by measurement; or whether it could not be measured at all."""
        if kept:
            self.good = configuration
            return
        self._broken, self._quiet, self._failed = configuration, self._cooldown, failed
        if configuration == self.good:
            self.good = None

    def moved(self, still_good: bool, safe: Configuration) -> None:
        """Conditions changed: experiments are allowed at once, what was good may be so no more, and another default is safe."""
        self._quiet = 0
        self.good = self.good if still_good else None
        self.safe = safe if not self.refusal(safe) else self.safe

    def refusal(self, configuration: Configuration) -> str:
        """Why it may not be served; empty where it may."""
        if configuration not in self._checked:
            try:
                self._space.check(configuration)
                self._checked[configuration] = ""
            except ConfigurationError as error:
                self._checked[configuration] = str(error)
        return self._checked[configuration]
