"""Estimate how long the builds of engines take, and learn from those that were seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import BoolArray, FloatArray
from envs.spec.change_cost import build_log_s

if TYPE_CHECKING:
    from envs.spec.space import ConfigurationSpace


@dataclass(frozen=True)
class BuildTimes:
    """Estimate how long builds take, and learn from those that were seen.

    log seconds = log_s + common + own, where both are Gaussian with mean 0: `common` is the same
    for all engines of a device, `own` differs from one to the next. Seen builds tell `common`.

    Attributes:
        log_s: [..., E], before any build was seen.
        common_sd, own_sd: standard deviations.
        count: [...], how many builds were seen.
        excess: [...], the sum over those of log seconds - log_s.
    """

    log_s: FloatArray
    common_sd: float
    own_sd: float
    count: FloatArray
    excess: FloatArray

    @classmethod
    def of(cls, space: ConfigurationSpace) -> BuildTimes:
        """Return what is known of the builds of a space before any was seen."""
        log_s, common_sd, own_sd = build_log_s(space)
        return cls(log_s, common_sd, own_sd, np.zeros(()), np.zeros(()))

    def after(self, built: BoolArray, seconds: FloatArray) -> BuildTimes:
        """Return the estimate after more builds were seen.

        Args:
            built: [..., E], True for an engine whose build was seen.
            seconds: [..., E], how long it took; anything elsewhere.
        """
        took = np.where(built, np.log(np.where(built, seconds, 1.0)) - self.log_s, 0.0)
        count, excess = self.count + built.sum(axis=-1), self.excess + took.sum(axis=-1)
        return replace(self, count=count, excess=excess)

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance [...] of what all builds of the device share."""
        return common_of(self.count, self.excess, self.common_sd, self.own_sd)

    def expected_s(self) -> FloatArray:
        """Return the expected seconds [..., E] of a build, 0 for what nobody builds."""
        mean, variance = self.common()
        return np.exp(self.log_s + (mean + (variance + self.own_sd**2) / 2)[..., None])

    def waiting_s(self, needed: BoolArray, built: BoolArray) -> FloatArray:
        """Return the expected seconds [..., M] of the builds that configurations still need.

        Args:
            needed: [..., M, E], see `engines_of`.
            built: [..., E], engines that are there.
        """
        missing = np.where(built, 0.0, self.expected_s())
        seconds: FloatArray = (needed * missing[..., None, :]).sum(axis=-1)
        return seconds

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw how long each build takes on one device, [..., E] seconds."""
        mean, variance = self.common()
        shared = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
        own = self.own_sd * rng.standard_normal((*mean.shape, self.log_s.shape[-1]))
        return np.exp(self.log_s + shared[..., None] + own)


def common_of(
    count: FloatArray, excess: FloatArray, common_sd: float, own_sd: float
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance [...] of what all durations of a kind on a device share.

    A logarithm of a duration is the expected one, plus this, plus a part of its own; both parts are
    Gaussian with mean 0.

    Args:
        count: [...], how many durations were seen.
        excess: [...], the sum over those of log seconds less the expected ones.
        common_sd: standard deviation of the common part before any was seen.
        own_sd: standard deviation of the part of each.
    """
    own = own_sd**2
    variance = 1.0 / (1.0 / common_sd**2 + count / own)
    return variance * excess / own, variance
