"""What an agent sees: a pure function of what is asked and what was measured, never of what was not.

Everything measured is a logarithm of a ratio to the first measurement (the default configuration) or to the limit, so that a
policy meets a faster computer or a smaller network as the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from envs.configuration import ConfigurationSpace, Placements
from envs.device import ACCELERATORS
from envs.measurement import FloatArray, MeasurementBatch
from envs.objective import Objectives, verdict_of

#: Logarithms of ratios are cut at a factor of about 400.
CUT = 6.0


@dataclass(frozen=True)
class History:
    """What B episodes measured so far; slot 0 is the default configuration. H slots, unused ones NaN.

    Attributes:
        action: [B, H], rows of the candidates, -1 where nothing was measured.
        throughput_ips, p99_ms: [B, H, T]. power_w, score_ips, violation: [B, H].
        used: [B], measurements so far.
        seen: [B, H, S], what an observation says of each measurement, written when it is made.
    """

    action: npt.NDArray[np.int64]
    throughput_ips: FloatArray
    p99_ms: FloatArray
    power_w: FloatArray
    score_ips: FloatArray
    violation: FloatArray
    used: npt.NDArray[np.int64]
    seen: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, rows: int, slots: int, tenants: int, width: int) -> History:
        def numbers(*shape: int) -> FloatArray:
            return np.full(shape, np.nan)

        return cls(
            np.full((rows, slots), -1, dtype=np.int64),
            numbers(rows, slots, tenants),
            numbers(rows, slots, tenants),
            numbers(rows, slots),
            numbers(rows, slots),
            numbers(rows, slots),
            np.zeros(rows, dtype=np.int64),
            np.zeros((rows, slots, width), dtype=np.float32),
        )


@dataclass(frozen=True)
class ObservationLayout:
    """Where things stand in an observation of a space: float32 [D], the last H numbers being the actions taken so far."""

    space: ConfigurationSpace
    candidates: Placements
    slots: int

    @cached_property
    def names(self) -> list[str]:
        tenants, knobs = self.space.workload.names, self.space.knobs
        asked = [f"{name}.{what}" for name in tenants for what in ("log_limit_over_default", "limited", "open_loop", "log_rate_over_default")]
        known = [f"{name}.{what}" for name in tenants for what in ("log_macs", "log_weights", "log_activations", "layers", "fixed_batch")]
        device = ["log_cores", "log_memory", *(f"has_{name}" for name in ACCELERATORS)]
        progress = ["used", "feasible", "log_best_over_default", "best_violation"]
        slot = [
            *("present", "failed", "violation", "log_power_over_default"),
            *(f"{name}.{what}" for name in tenants for what in ("log_throughput_over_default", "log_p99_over_limit")),
            *(f"knob{knob}.{what}" for knob in range(knobs) for what in ("instances", "batch")),
        ]
        history = [f"slot{i}.{what}" for i in range(self.slots) for what in slot]
        return [
            *asked,
            "power.log_limit_over_default",
            "power.limited",
            *known,
            *device,
            *progress,
            *history,
            *(f"action{i}" for i in range(self.slots)),
        ]

    @property
    def size(self) -> int:
        return len(self.names)

    @cached_property
    def bounds(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Lowest and highest values, [D] each."""
        low, high = np.full(self.size, -CUT, np.float32), np.full(self.size, CUT, np.float32)
        low[-self.slots :], high[-self.slots :] = -1, max(len(self.candidates) - 1, 1)
        return low, high

    @cached_property
    def features(self) -> npt.NDArray[np.float32]:
        """What a policy knows of each candidate: [N, 2 K], instances and batch of each knob on a scale of 0 to 1."""
        return candidate_features(self.space, self.candidates)

    @cached_property
    def _weights(self) -> FloatArray:
        return np.array(self.space.workload.weights)

    @cached_property
    def _rates(self) -> FloatArray:
        return np.array([tenant.rate_ips for tenant in self.space.workload.tenants])

    @cached_property
    def _open(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self._rates)

    @cached_property
    def _constant(self) -> npt.NDArray[np.float32]:
        space = self.space
        known = [
            value
            for tenant in space.workload.tenants
            for value in (
                np.log10(max(tenant.network.macs, 1)) / 10,
                np.log10(max(tenant.network.weight_bytes, 1)) / 10,
                np.log10(max(tenant.network.activation_bytes, 1)) / 10,
                tenant.network.layers / 100,
                float(tenant.network.fixed_batch is not None),
            )
        ]
        device = [np.log2(space.device.cores) / 8, np.log2(space.device.memory_mib) / 20]
        has = [float(name in space.device.accelerator_names) for name in ACCELERATORS]
        return np.clip(np.array([*known, *device, *has], dtype=np.float32), -CUT, CUT)

    def start(self, rows: int) -> History:
        """Nothing measured yet, in B episodes."""
        tenants = self.space.shape[0]
        return History.empty(rows, self.slots, tenants, 4 + 2 * tenants + self.features.shape[1])

    def record(self, history: History, objectives: Objectives, actions: npt.NDArray[np.int64], batch: MeasurementBatch) -> None:
        """Write a measurement of each episode, [B], into its next slot."""
        rows, slot = np.arange(len(actions)), history.used
        judged = verdict_of(batch, self._weights, objectives)
        history.action[rows, slot] = actions
        history.throughput_ips[rows, slot] = batch.throughput_ips
        history.p99_ms[rows, slot] = batch.p99_ms
        history.power_w[rows, slot] = batch.power_w
        history.score_ips[rows, slot] = judged.score_ips
        history.violation[rows, slot] = judged.violation
        knobs = 4 + 2 * self.space.shape[0]
        seen = np.zeros((len(actions), history.seen.shape[2]), dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            limit_ms = np.where(np.isfinite(objectives.p99_ms), objectives.p99_ms, history.p99_ms[:, 0])
            seen[:, 0] = 1
            seen[:, 1] = batch.failed
            seen[:, 2] = judged.violation
            seen[:, 3] = logs(batch.power_w / history.power_w[:, 0])
            seen[:, 4:knobs:2] = logs(batch.throughput_ips / history.throughput_ips[:, 0])
            seen[:, 5:knobs:2] = logs(batch.p99_ms / limit_ms)
            seen[:, knobs:] = self.features[actions]
        history.seen[rows, slot] = seen
        history.used[:] = slot + 1

    def observe(self, history: History, objectives: Objectives) -> npt.NDArray[np.float32]:
        """Observations [B, D] of B episodes, written in the order of `names`.

        Plain slices and few passes: on a device this is most of what a decision costs.
        """
        rows, slots = len(history.used), self.slots
        out = np.zeros((rows, self.size), dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            limited = np.isfinite(objectives.p99_ms)
            at = 4 * self.space.shape[0]
            out[:, 0:at:4] = np.where(limited, logs(objectives.p99_ms / history.p99_ms[:, 0]), 0.0)
            out[:, 1:at:4] = limited
            if self._open.any():
                out[:, 2:at:4] = self._open
                out[:, 3:at:4] = np.where(self._open, logs(self._rates / history.throughput_ips[:, 0]), 0.0)
            power_limited = np.isfinite(objectives.power_w)
            if power_limited.any():
                out[:, at] = np.where(power_limited, logs(objectives.power_w / history.power_w[:, 0]), 0.0)
                out[:, at + 1] = power_limited
            at += 2
            out[:, at : at + len(self._constant)] = self._constant
            at += len(self._constant)
            best = best_so_far(history)
            out[:, at] = history.used / slots
            out[:, at + 1] = best.feasible
            out[:, at + 2] = np.where(best.feasible, logs(best.score_ips / history.score_ips[:, 0]), 0.0)
            out[:, at + 3] = best.violation
        out[:, at + 4 : -slots] = history.seen.reshape(rows, -1)
        out[:, -slots:] = history.action
        return out


@dataclass(frozen=True)
class Best:
    """The best of each episode so far: [B]. `score_ips` counts only where feasible."""

    slot: npt.NDArray[np.int64]
    score_ips: FloatArray
    violation: FloatArray
    feasible: npt.NDArray[np.bool_]


def best_so_far(history: History) -> Best:
    """The feasible measurement with the highest score, else the least violating one."""
    present = history.action >= 0
    worth = np.where(history.violation <= 0, history.score_ips, -history.violation)
    slot = np.where(present, worth, -np.inf).argmax(axis=1)
    rows = np.arange(len(slot))
    violation = history.violation[rows, slot]
    return Best(slot, history.score_ips[rows, slot], violation, violation <= 0)


def logs(ratio: FloatArray) -> FloatArray:
    """Natural logarithm, cut, 0 where it is unknown."""
    value = np.log(ratio)
    return np.where(np.isnan(value), 0.0, np.minimum(np.maximum(value, -CUT), CUT))


def candidate_features(space: ConfigurationSpace, candidates: Placements) -> npt.NDArray[np.float32]:
    """[N, 2 K]: instances over the most there can be, and (1 + log2 batch) over that of the largest batch; 0 where unused."""
    instances = candidates[..., 0] / space.max_instances
    batch = candidates[..., 1]
    steps = np.where(batch > 0, 1 + np.log2(np.maximum(batch, 1)), 0.0) / (1 + np.log2(space.batches[-1]))
    return np.stack([instances, steps], axis=-1).reshape(len(candidates), -1).astype(np.float32)
