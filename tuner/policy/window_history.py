"""Keep measured windows per configuration; they correct a belief whose tails are too light."""

import numpy as np

from envs.arrays import Single
from envs.spec import Configuration, signs
from tuner.policy.noise_model import CarriedError, NoiseModel
from tuner.policy.thresholds import Thresholds


class WindowHistory:
    """The latest windows of each configuration; true if there are any."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._windows: dict[Configuration, Single] = {}

    def add(self, configuration: Configuration, window: Single) -> None:
        """Add a window, [Q] logarithms; one without throughput is left out."""
        if np.isfinite(window[0]):
            before = self._windows.get(configuration, np.empty((0, len(window)), np.float32))
            kept = before[-self._thresholds.memory_windows + 1 :]
            self._windows[configuration] = np.concatenate([kept, window[None]])

    def forget(self) -> None:
        """Forget all windows: the device is another one."""
        self._windows.clear()

    def __bool__(self) -> bool:
        return bool(self._windows)

    def configurations(self) -> list[Configuration]:
        """Return those that have windows, in the order of their first ones."""
        return list(self._windows)

    def latest(self, configuration: Configuration) -> tuple[Single, Single]:
        """Return the mean of the latest windows, and of how many it is.

        Returns:
            [Q] each: mean logarithms, NaN for what no window measured; counts of at least 1.
        """
        windows = self._windows[configuration][-self._thresholds.latest_windows :]
        measured = np.isfinite(windows)
        count = measured.sum(axis=0).astype(np.float32)
        mean = np.where(measured, windows, 0.0).sum(axis=0) / np.where(count, count, np.nan)
        return mean.astype(np.float32), np.maximum(count, 1)

    def chance(self, configuration: Configuration, believed: float, limits: Single) -> float:
        """Return the chance that a window keeps all limits, by what was measured and believed.

        Args:
            configuration: what would serve.
            believed: the chance by the belief.
            limits: [Q], logarithms.
        """
        windows = self._windows.get(configuration, np.empty((0, len(limits)), np.float32))
        beyond = np.isfinite(limits) & (signs(len(limits)) * (windows - limits) > 0)
        kept = len(windows) - int(beyond.any(axis=1).sum())
        weight = self._thresholds.memory_windows
        return (weight * believed + kept) / (weight + len(windows))


class DeviceHistory:
    """Windows of a device, their noise and the last error; they outlive its objective.

    Attributes:
        noise: of its windows.
        windows: the latest ones.
        error: the last prediction error, carried forward.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.noise = NoiseModel(thresholds)
        self.windows = WindowHistory(thresholds)
        self.error = CarriedError(thresholds)

    def forget(self) -> None:
        """Forget the windows: the device is another one. Its noise stays."""
        self.windows.forget()
        self.error.forget()
