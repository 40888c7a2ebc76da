"""Learn the noise of a device from windows that repeat: that of the model is of a quiet board."""

from collections.abc import Mapping

import numpy as np

from envs.arrays import FloatArray, Single
from envs.spec import Configuration
from tuner.policy.thresholds import Thresholds


class CarriedError:
    """Carry the last prediction error forward: heat, neighbours and hosts last many windows.

    The share of an error that the next window repeats is learned for each quantity, over all
    configurations; at first it is 0.

    Attributes:
        expected: [Q] or 0, logarithms by which the next window will differ from the belief.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._share: FloatArray | float = 0.0
        self._products: FloatArray | float = 0.0  # of errors one after the other
        self._squares: FloatArray | float = 0.0
        self.forget()

    def add(self, error: Single, noise: Single) -> None:
        """Learn from another window of a configuration that was measured before.

        Args:
            error: [Q], logarithms by which the window differs from the belief; NaN is no
                information.
            noise: [Q], variance expected of its windows; a burst counts as the farthest error
                that this allows.
        """
        limits = self._thresholds
        farthest = limits.surprise_sigmas * np.sqrt(noise)
        measured = np.isfinite(error)
        now = np.where(measured, np.clip(error, -farthest, farthest), self.expected)
        fade = np.where(measured, 1 - 1 / limits.memory_windows, 1.0)
        self._products = fade * self._products + measured * now * self._error
        self._squares = fade * self._squares + measured * now**2
        share = self._products / (self._squares + limits.assumed_windows * noise)
        self._share = np.clip(share, 0.0, 1.0)
        self._carry(now)

    def skip(self) -> None:
        """Let a window pass that says nothing of the error: what is expected fades."""
        self._carry(self.expected)

    def forget(self) -> None:
        """Forget the last error: the device is another one. The learned share stays."""
        self._carry(0.0)

    def _carry(self, error: FloatArray | Single | float) -> None:
        self._error = error
        self.expected: Single | float = np.asarray(self._share * error, dtype=np.float32)


class NoiseModel:
    """Learn the noise of each configuration that served."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        # [2, Q] each: sum of squared errors beyond the doubt of the belief, and number of windows.
        self._sums: dict[Configuration, FloatArray] = {}

    def add(
        self, configuration: Configuration, error: Single, variance: Single, noise: Single
    ) -> None:
        """Learn from another window.

        Args:
            configuration: the one that served.
            error: [Q], logarithms by which the window differs from the belief; NaN is no
                information.
            variance: [Q], of the belief.
            noise: [Q], variance expected of its windows; a burst counts as the farthest error
                that this allows.
        """
        limits = self._thresholds
        squares, windows = self._sums.get(configuration, np.zeros((2, len(error))))
        measured = np.isfinite(error)
        fade = np.where(measured, 1 - 1 / limits.memory_windows, 1.0)
        farthest = limits.surprise_sigmas**2 * noise
        beyond = np.where(measured, np.clip(error**2 - variance, 0.0, farthest), 0.0)
        self._sums[configuration] = np.stack([fade * squares + beyond, fade * windows + measured])

    def variance(self, model: Single, rows: Mapping[Configuration, int]) -> Single:
        """Return the noise of candidates, as variances [Q, M].

        Args:
            model: [Q], variances by the model of a quiet board; the result is never below.
            rows: the row of each candidate.
        """
        assumed = self._thresholds.assumed_windows
        total = sum(self._sums.values(), np.zeros((2, len(model))))
        others = (assumed * model + total[0]) / (assumed + total[1])
        expected = np.sqrt(model * np.maximum(model, others))
        noise = np.repeat(expected[:, None], len(rows), axis=1)
        for configuration in self._sums.keys() & rows.keys():
            squares, windows = self._sums[configuration]
            noise[:, rows[configuration]] = np.maximum(
                model, (assumed * expected + squares) / (assumed + windows)
            )
        return np.asarray(noise, dtype=np.float32)
