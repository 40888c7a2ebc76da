"""The guard between what proposes and the device: which configuration the next control period may serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from envs.configuration import Configuration, ConfigurationSpace
from envs.errors import ConfigurationError


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

    An experiment (a configuration that was not measured since conditions changed) lasts one period. If it breaks a limit, fails, or cannot
    be measured, the next period serves the last good configuration, and there is no other experiment for `cooldown` periods. While nothing is known to
    keep the limits there is nothing to lose by going on; once there is nothing left to try, what comes closest is served.

    Args:
        safe: served when nothing is known.
        good: known from an earlier run to keep the limits, if any.
        cooldown: periods without experiments after a limit was broken.
    """

    def __init__(self, space: ConfigurationSpace, safe: Configuration, good: Configuration | None = None, cooldown: int = 3) -> None:
        space.check(safe)
        self._space = space
        self.safe = safe
        self.good = good if good is not None and not self.refusal(good) else None
        self._cooldown = cooldown
        self._quiet = 0
        self._broken: Configuration | None = None

    def choose(self, experiment: Configuration | None, resting: Sequence[Configuration], least: Configuration | None) -> Choice:
        """What the next period serves.

        Args:
            experiment: what is proposed to be tried; None for nothing. resting: what was measured and kept the limits, the best of it first.
            least: what came closest where nothing did; None where nothing was measured.
        """
        broken, self._broken = self._broken, None
        refused = self.refusal(experiment) if experiment is not None else ""
        known = [each for each in (*resting, *([self.good] if self.good else [])) if each != broken and not self.refusal(each)]
        if broken is not None and known:
            return Choice(self.good if self.good is not None and self.good in known else known[0], Phase.RETURNED, refused)
        if experiment is not None and not refused and not (self._quiet and known):
            return Choice(experiment, Phase.SEARCHING)
        self._quiet = max(self._quiet - 1, 0)
        if known:
            return Choice(known[0], Phase.HOLDING, refused)
        if least is not None and not self.refusal(least):
            return Choice(least, Phase.HOLDING, refused)
        return Choice(self.safe, Phase.SAFE, refused)

    def judged(self, configuration: Configuration, kept: bool) -> None:
        """What a period said of what it served: whether it was measured and every limit kept."""
        if kept:
            self.good = configuration
            return
        self._broken, self._quiet = configuration, self._cooldown
        if configuration == self.good:
            self.good = None

    def moved(self, still_good: bool) -> None:
        """Conditions changed: experiments are allowed at once, and what was good may be so no more."""
        self._quiet = 0
        self.good = self.good if still_good else None

    def refusal(self, configuration: Configuration) -> str:
        """Why it may not be served; empty where it may."""
        try:
            self._space.check(configuration)
        except ConfigurationError as error:
            return str(error)
        return ""
