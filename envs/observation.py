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
from envs.measurement import FloatArray
from envs.objective import Objectives

#: Logarithms of ratios are cut at a factor of about 400.
CUT = 6.0


@dataclass(frozen=True)
class History:
    """What B episodes measured so far; slot 0 is the default configuration. H slots, unused ones NaN.

    Attributes:
        action: [B, H], rows of the candidates, -1 where nothing was measured.
        throughput_ips, p99_ms: [B, H, T]. power_w, score_ips, violation: [B, H].
        used: [B], measurements so far.
    """

    action: npt.NDArray[np.int64]
    throughput_ips: FloatArray
    p99_ms: FloatArray
    power_w: FloatArray
    score_ips: FloatArray
    violation: FloatArray
    used: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, rows: int, slots: int, tenants: int) -> History:
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

    def observe(self, history: History, objectives: Objectives) -> npt.NDArray[np.float32]:
        """Observations [B, D] of B episodes, written in the order of `names`.

        Plain slices and few passes: on a device this is most of what a decision costs.
        """
        rows, tenants, slots = len(history.used), self.space.shape[0], self.slots
        out = np.zeros((rows, self.size), dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            default_ips, default_p99 = history.throughput_ips[:, 0], history.p99_ms[:, 0]
            limited = np.isfinite(objectives.p99_ms)
            at = 4 * tenants
            out[:, 0:at:4] = np.where(limited, logs(objectives.p99_ms / default_p99), 0.0)
            out[:, 1:at:4] = limited
            if self._open.any():
                out[:, 2:at:4] = self._open
                out[:, 3:at:4] = np.where(self._open, logs(self._rates / default_ips), 0.0)
            power_limited = np.isfinite(objectives.power_w)
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
            out[:, at + 4 : -slots] = self._slots(history, default_ips, np.where(limited, objectives.p99_ms, default_p99)).reshape(rows, -1)
        out[:, -slots:] = history.action
        return out

    def _slots(self, history: History, default_ips: FloatArray, limit_ms: FloatArray) -> npt.NDArray[np.float32]:
        """What each measurement gave: [B, H, 4 + 2 T + 2 K], zeros where there was none."""
        knobs = 4 + 2 * self.space.shape[0]
        present = history.action >= 0
        out = np.zeros((*present.shape, knobs + self.features.shape[1]), dtype=np.float32)
        out[..., 0] = present
        out[..., 1] = present & np.isnan(history.p99_ms[..., 0])
        out[..., 2] = np.where(present, history.violation, 0.0)
        out[..., 3] = logs(history.power_w / history.power_w[:, :1])
        out[..., 4:knobs:2] = logs(history.throughput_ips / default_ips[:, None])
        out[..., 5:knobs:2] = logs(history.p99_ms / limit_ms[:, None])
        out[..., knobs:] = self.features[history.action] * present[..., None]
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
