"""How the windows of a device scatter and drift, learned from those that repeat: the noise of the model is that of a quiet board.

Letters: Q quantities (log throughput of each tenant, log p99 of each, log power), M candidates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from envs.arrays import FloatArray, Single
from envs.spec.space import Configuration

#: The latest windows of a configuration count, about so many; what is expected of it beforehand counts as so many.
RECENT, ASSUMED = 30, 2

#: Standard deviations beyond which a window is not what was to be expected.
FAR = 3.0

#: What the scatter of others says of a configuration that has not served yet: a quarter of their variance, half of the standard deviation. What is
#: expected to scatter as much as the worst would never be tried.
OTHERS = 0.25

#: Windows over which it is learned how alike one is to the next, and the most that they may be.
LASTING, MOST_ALIKE = 60, 0.9


class Drift:
    """How much of what the last window missed the next one will miss as well, whatever serves: heat, neighbours and hosts come and go over many windows.

    Attributes:
        expected: [Q] or 0, logarithms by which the next window will lie beside what is believed.
    """

    def __init__(self) -> None:
        self._share: FloatArray | float = 0.0
        self._alike: FloatArray | float = 0.0
        self._squares: FloatArray | float = 0.0
        self.forget()

    def add(self, missed: Single, noise: Single) -> None:
        """One more window of what had served before, [Q] each; NaN tells nothing. The share is learned: at first a window tells nothing of the next one.

        Args:
            missed: by how much it lay beside what is believed. noise: what is expected of its windows; a burst counts as the farthest of that.
        """
        far = FAR * np.sqrt(noise)
        told = np.isfinite(missed)
        now = np.where(told, np.clip(missed, -far, far), self.expected)
        kept = np.where(told, 1 - 1 / LASTING, 1.0)
        self._alike = kept * self._alike + told * now * self._missed
        self._squares = kept * self._squares + told * now**2
        self._share = np.clip(self._alike / (self._squares + ASSUMED * noise), 0.0, MOST_ALIKE)
        self._pass(now)

    def skip(self) -> None:
        """A window passed that says nothing of this."""
        self._pass(self.expected)

    def forget(self) -> None:
        """The device is another one; how alike its windows are stays."""
        self._pass(0.0)

    def _pass(self, missed: FloatArray | Single | float) -> None:
        self._missed = missed
        self.expected: Single | float = np.asarray(self._share * missed, dtype=np.float32)


class Scatter:
    """Of each configuration that served, [2, Q]: how much its windows missed what was believed, as a sum of squares, and how many they are."""

    def __init__(self) -> None:
        self._seen: dict[Configuration, FloatArray] = {}

    def add(
        self, configuration: Configuration, missed: Single, variance: Single, noise: Single
    ) -> None:
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
            noise[:, rows[configuration]] = np.maximum(
                model, (ASSUMED * expected + squares) / (ASSUMED + windows)
            )
        return np.asarray(noise, dtype=np.float32)
