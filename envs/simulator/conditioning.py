"""Condition the model of a device on a recording of it.

The unknowns of the device are standard normal numbers, and what was recorded are noisy logarithms
of what the model computes from them. The most probable unknowns are found by Gauss-Newton steps
(Levenberg-Marquardt); around them the distribution is taken to be normal, with the curvature there
(Laplace's approximation). How far configurations depart from the model with any unknowns comes from
the same residuals.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from envs.arrays import FloatArray, Placements
from envs.simulator.device_model import DeviceModel
from envs.simulator.parameter_table import TABLE
from envs.simulator.parameters import nominal
from envs.simulator.unknowns import Unknowns

#: How far configurations are believed to depart from the model before residuals tell (standard
#: deviation of a logarithm), how many residuals that counts for, and the least it can become. It is
#: an assumption, of the size of what the model misses on the recordings in `envs/traces/data`.
DISCREPANCY, DISCREPANCY_WEIGHT, LEAST_DISCREPANCY = 0.05, 4.0, 0.005

#: How often the discrepancy is estimated anew, each time followed by a fit.
ROUNDS = 3

#: Steps of a fit at most; it ends before when a step gains less than GAIN of minus the log density.
STEPS, GAIN = 30, 0.02

#: Difference of an unknown by which slopes are taken: single precision hides smaller ones.
SLOPE_STEP = 0.05

#: A direction whose spread the recording left above this share is as uncertain as before.
INFORMED = 0.999


@dataclass(frozen=True, eq=False)
class Recording:
    """Recorded windows of N configurations.

    Attributes:
        placements: [N, T, A, 2].
        logs: [Q, N] logarithms; NaN for what was not read.
        noise: [Q, N] variances of these windows.
    """

    placements: Placements
    logs: FloatArray
    noise: FloatArray

    def __len__(self) -> int:
        return len(self.placements)

    def take(self, rows: np.ndarray) -> "Recording":
        """Return some of the configurations, by row numbers or a mask."""
        return Recording(self.placements[rows], self.logs[:, rows], self.noise[:, rows])


def conditioned(model: DeviceModel, recording: Recording) -> DeviceModel:
    """Return the model with the unknowns that the recording leaves.

    Args:
        model: of the recorded device, its networks and batch sizes.
        recording: at least one row with one quantity.
    """
    quantities = len(recording.logs)
    discrepancy = np.full(quantities, DISCREPANCY)
    fit = _Fit(replace(model, unknowns=None), recording)
    mean = np.zeros(model.unknown_count)
    for _ in range(ROUNDS):
        variance = fit.variance(discrepancy)
        mean = fit.most_probable(mean, variance)
        slopes = fit.slopes(mean) / np.sqrt(variance)[:, None]
        directions, spread = _narrowed(slopes)
        along = slopes @ directions.T
        leverage = (slopes**2).sum(axis=1) - (along**2 * (1.0 - spread**2)).sum(axis=1)
        discrepancy = fit.discrepancy(mean, leverage, quantities)
    departures, left = fit.departures(mean, discrepancy)
    known = Unknowns(mean, directions, spread, discrepancy, recording.placements, departures, left)
    return replace(model, unknowns=known)


def _narrowed(slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return directions [K, D] and spreads [K] after linear observations of unit noise.

    Args:
        slopes: [Y, D], of the Y observations.
    """
    _, told, directions = np.linalg.svd(slopes, full_matrices=False)
    spread = 1.0 / np.sqrt(1.0 + told**2)
    kept = spread < INFORMED
    return directions[kept], spread[kept]


def fingerprint(model: DeviceModel) -> str:
    """Return a hash of all that the unknowns of a device belong to.

    It covers the machine in its power mode, the accelerators, the networks' layers, the batch sizes
    and the parameters of the model with their fitted values and spreads.
    """
    digest = hashlib.sha256(repr((TABLE, model.machine)).encode())
    digest.update(nominal(model.machine.architecture).values.tobytes())
    space = model.space
    names = space.device.accelerator_names
    digest.update(repr((space.device.name, names, tuple(space.batches))).encode())
    for table in model.networks:
        for column in (table.kind, table.macs, table.weights, table.reads, table.writes):
            digest.update(np.ascontiguousarray(column, dtype=np.float64).tobytes())
    return digest.hexdigest()


class _Fit:
    """The Y numbers that were read, and the model of them."""

    def __init__(self, model: DeviceModel, recording: Recording) -> None:
        self._model, self._placements = model, recording.placements
        known = np.isfinite(recording.logs)
        if not model.has_power:
            known[-1] = False
        self._read = np.flatnonzero(known)
        self._seen = recording.logs.ravel()[self._read]
        self._noise = recording.noise.ravel()[self._read]
        self._quantity = self._read // len(recording)

    def variance(self, discrepancy: FloatArray) -> FloatArray:
        """Return the variances [Y] of what was read, given the discrepancy [Q]."""
        return np.asarray(self._noise + discrepancy[self._quantity] ** 2)

    def predicted(self, unknowns: FloatArray) -> FloatArray:
        """Return what the model gives for unknowns [C, D], [C, Y]."""
        logs = self._model.logarithms(self._model.contexts_from(unknowns), self._placements)
        return np.nan_to_num(logs.reshape(len(unknowns), -1)[:, self._read], neginf=-20.0)

    def departures(self, at: FloatArray, discrepancy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return by how much recorded configurations depart from the model, and its variance.

        Args:
            at: [D], the unknowns of the model.
            discrepancy: [Q], how far any configuration departs.

        Returns:
            [Q, N] each; what was not read departs by nobody knows how much.
        """
        shape = (len(discrepancy), len(self._placements))
        mean, left = np.zeros(shape), np.tile(discrepancy[:, None] ** 2, shape[1])
        own = discrepancy[self._quantity] ** 2
        weight = own / (own + self._noise)
        mean.flat[self._read] = weight * (self._seen - self.predicted(at[None])[0])
        left.flat[self._read] = weight * self._noise
        return mean, left

    def slopes(self, at: FloatArray) -> FloatArray:
        """Return the slopes [Y, D] of what the model gives."""
        steps = SLOPE_STEP * np.eye(len(at))
        both = self.predicted(np.concatenate([at + steps, at - steps]))
        return np.asarray((both[: len(at)] - both[len(at) :]).T / (2 * SLOPE_STEP))

    def most_probable(self, start: FloatArray, variance: FloatArray) -> FloatArray:
        """Return the most probable unknowns [D], found from `start`."""
        scale = np.sqrt(variance)

        def error(at: FloatArray) -> FloatArray:
            return np.asarray((self._seen - self.predicted(at[None])[0]) / scale)

        def cost(at: FloatArray) -> float:
            return float(0.5 * at @ at + 0.5 * np.sum(error(at) ** 2))

        at, least, damping = start, cost(start), 1.0
        for _ in range(STEPS):
            slopes = self.slopes(at) / scale[:, None]
            curvature = slopes.T @ slopes + np.eye(len(at))
            downhill = slopes.T @ error(at) - at
            before = least
            while least == before and damping < 1e6:
                damped = curvature + damping * np.diag(np.diag(curvature))
                tried = at + np.linalg.solve(damped, downhill)
                if (found := cost(tried)) < least:
                    at, least, damping = tried, found, damping / 5
                else:
                    damping *= 4
            if before - least < GAIN:
                break
        return at

    def discrepancy(self, at: FloatArray, leverage: FloatArray, quantities: int) -> FloatArray:
        """Return how far configurations depart from the fitted model, [Q].

        A residual is smaller than the departure by what the fit took up of it. Where little was
        read, the estimate stays near `DISCREPANCY`.

        Args:
            at: [D], the most probable unknowns.
            leverage: [Y], share of each departure that the fit took up.
            quantities: Q.
        """
        residual = self._seen - self.predicted(at[None])[0]
        squares = residual**2 / np.maximum(1.0 - leverage, 0.05) - self._noise
        count = np.bincount(self._quantity, minlength=quantities)
        total = np.bincount(self._quantity, squares, quantities)
        prior = DISCREPANCY_WEIGHT * DISCREPANCY**2
        mean = (prior + np.maximum(total, 0.0)) / (DISCREPANCY_WEIGHT + count)
        return np.asarray(np.sqrt(np.maximum(mean, LEAST_DISCREPANCY**2)))
