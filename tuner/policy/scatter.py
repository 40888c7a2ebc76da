"""How the windows of a device scatter, learned from those that repeat: the noise of the model is that of a quiet board.

Letters: Q quantities (log throughput of each tenant, log p99 of each, log power), M candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from envs.configuration import Configuration

Single = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]

#: The latest windows of a configuration count, about so many; what is expected of it beforehand counts as so many.
RECENT, ASSUMED = 30, 2

#: Standard deviations beyond which a window is not what was to be expected.
FAR = 3.0

#: What the scatter of others says of a configuration that has not served yet: a quarter of their variance, half of the standard deviation. What is
#: expected to scatter as much as the worst would never be tried.
OTHERS = 0.25

#: Windows of a configuration that are remembered as they were, and as how many counts what is believed of its chance beside them.
REMEMBERED, BELIEVED = 100, 10

#: Standard errors by which a chance may be better than it looks: what was unlucky a few times is not given up for something much slower.
BENEFIT = 0.5


class Evidence:
    """What windows of each configuration really gave: a tail is heavier than any belief in noise has it."""

    def __init__(self) -> None:
        self._windows: dict[Configuration, Single] = {}

    def add(self, configuration: Configuration, seen: Single) -> None:
        """One more window, [Q] logarithms; one without numbers is none."""
        if np.isfinite(seen[0]):
            before = self._windows.get(configuration, np.empty((0, len(seen)), dtype=np.float32))
            self._windows[configuration] = np.concatenate([before[-REMEMBERED + 1 :], seen[None]])

    def forget(self) -> None:
        """The device is another one."""
        self._windows.clear()

    def chance(self, configuration: Configuration, believed: float, limits: Single) -> float:
        """That a window keeps all limits [Q], from what is believed and how often that was so."""
        windows = self._windows.get(configuration, np.empty((0, len(limits)), dtype=np.float32))
        kept = len(windows) - int((windows > limits).any(axis=1).sum())
        count = BELIEVED + len(windows)
        chance = (BELIEVED * believed + kept) / count
        return chance + BENEFIT * math.sqrt(max(chance * (1 - chance), 0.0) / count)


class Scatter:
    """Of each configuration that served, [2, Q]: how much its windows missed what was believed, as a sum of squares, and how many they are."""

    def __init__(self) -> None:
        self._seen: dict[Configuration, Double] = {}

    def add(self, configuration: Configuration, missed: Single, variance: Single, noise: Single) -> None:
        """One more window, [Q] each; NaN tells nothing. A burst counts as the farthest that was to be expected: it is no habit yet.

        Args:
            missed: by how much, in logarithms. variance: of what was believed. noise: what is expected of its windows.
        """
        squares, windows = self._seen.get(configuration, np.zeros((2, len(missed))))
        told = np.isfinite(missed)
        kept = np.where(told, 1 - 1 / RECENT, 1.0)
        beyond = np.where(told, np.clip(missed**2 - variance, 0.0, FAR**2 * noise), 0.0)
        self._seen[configuration] = np.stack([kept * squares + beyond, kept * windows + told])

    def noise(self, model: Single, rows: Mapping[Configuration, int]) -> Single:
        """Variances [Q, M] where the model says [Q], which they are never below; `rows` are the places of M candidates."""
        all_seen = sum(self._seen.values(), np.zeros((2, len(model))))
        others = (ASSUMED * model + all_seen[0]) / (ASSUMED + all_seen[1])
        expected = np.maximum(model, OTHERS * others)
        noise = np.repeat(expected[:, None], len(rows), axis=1)
        for configuration in self._seen.keys() & rows.keys():
            squares, windows = self._seen[configuration]
            noise[:, rows[configuration]] = np.maximum(model, (ASSUMED * expected + squares) / (ASSUMED + windows))
        return np.asarray(noise, dtype=np.float32)
