"""Carry in a bundle what a recording told of its device, so that the belief starts from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from envs.arrays import NamedArrays
from envs.problems.problem import Problem
from envs.simulator.conditioning import fingerprint
from envs.simulator.device_model import DeviceModel
from envs.simulator.unknowns import Unknowns

#: Arrays of a bundle's file and their shapes: D unknowns, K directions, Q quantities, and N
#: configurations of T tenants on A accelerators that were recorded.
ARRAYS = {
    "mean": "D",
    "directions": "KD",
    "spread": "K",
    "discrepancy": "Q",
    "recorded": "NTA2",
    "departures": "QN",
    "left": "QN",
}

#: No standard deviation and no logarithm of a device is farther from zero: foreign numbers beyond
#: it would overflow.
FARTHEST = 20.0

#: What the arrays are called in the file.
PREFIX = "twin."


@dataclass(frozen=True, eq=False)
class DeviceTwin:
    """The unknowns of a recorded device, with what they belong to.

    Attributes:
        device: its name, for messages.
        fingerprint: see `envs.simulator.conditioning.fingerprint`.
        rates_ips: [T] arrivals of the recording, 0 for a closed loop.
        unknowns: what the recording left of them.
    """

    device: str
    fingerprint: str
    rates_ips: tuple[float, ...]
    unknowns: Unknowns

    @classmethod
    def of(cls, model: DeviceModel) -> DeviceTwin:
        """Return the twin of a conditioned model."""
        assert model.unknowns is not None, "it was conditioned"
        rates_ips = _rates(model)
        return cls(model.space.device.name, fingerprint(model), rates_ips, model.unknowns)

    def fits(self, model: DeviceModel) -> bool:
        """Return True if the model is of the recorded device, its networks and batch sizes."""
        known, quantities = self.unknowns, 2 * model.space.shape[0] + 1
        sizes = (len(known.mean), len(known.discrepancy)) == (model.unknown_count, quantities)
        return (
            sizes
            and known.recorded.shape[1:] == (*model.space.shape, 2)
            and fingerprint(model) == self.fingerprint
        )

    def remark(self, model: DeviceModel) -> str:
        """Return a sentence on whether the recording tells anything of this device."""
        if self.fits(model):
            return f"the belief starts from a recording of {self.device}"
        return (
            f"the policy was trained on a twin of {self.device}, with other networks, layers, batch"
            " sizes or another power mode: what its recording told is not used here"
        )

    def informed(self, model: DeviceModel) -> DeviceModel:
        """Return the model with what the recording told; any other device's stays as it is.

        At other arrival rates what the windows themselves were does not count.
        """
        if model.unknowns is not None or not self.fits(model):
            return model
        same = _rates(model) == self.rates_ips
        return replace(
            model, unknowns=self.unknowns if same else self.unknowns.without_departures()
        )

    def informed_problem(self, problem: Problem) -> Problem:
        """Return the problem with the informed model, made once for all its tuners."""
        if problem.model is None:
            return problem
        model = self.informed(problem.model)
        if model is problem.model:
            return problem
        return problem.once(f"twin {id(self)}", lambda: replace(problem, model=model, shared={}))

    def arrays(self) -> NamedArrays:
        """Return the arrays for a bundle's file."""
        return {
            PREFIX + name: np.asarray(getattr(self.unknowns, name), dtype=np.float32)
            for name in ARRAYS
        }

    def manifest(self) -> dict[str, Any]:
        """Return what a bundle's manifest says of it."""
        return {
            "device": self.device,
            "fingerprint": self.fingerprint,
            "rates_ips": list(self.rates_ips),
        }

    @classmethod
    def read(cls, told: Any, arrays: NamedArrays) -> DeviceTwin:
        """Return the twin in a bundle's file.

        Args:
            told: as from `manifest`.
            arrays: those of the file, from which the twin's are taken out.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        found = {name: arrays.pop(PREFIX + name) for name in ARRAYS}
        sizes: dict[str, int] = {"2": 2}
        for name, letters in ARRAYS.items():
            array = found[name]
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{PREFIX}{name} is not finite float32")
            if array.ndim != len(letters) or any(
                sizes.setdefault(letter, size) != size
                for letter, size in zip(letters, array.shape, strict=True)
            ):
                raise ValueError(f"{PREFIX}{name} does not fit the rest")
        if not ((found["spread"] > 0) & (found["spread"] <= 1)).all():
            raise ValueError(f"{PREFIX}spread is not above 0 and at most 1")
        if not all((found[name] > 0).all() for name in ("discrepancy", "left")):
            raise ValueError(f"{PREFIX}discrepancy or {PREFIX}left is not above 0")
        recorded = found.pop("recorded")
        if not ((recorded >= 0) & (recorded < 2**15) & (recorded == recorded.round())).all():
            raise ValueError(f"{PREFIX}recorded holds no configurations")
        if any(np.abs(array).max(initial=0.0) > FARTHEST for array in found.values()):
            raise ValueError(f"its twin holds a number beyond {FARTHEST:g}")
        doubles = {name: array.astype(np.float64) for name, array in found.items()}
        device, mark, rates = told["device"], told["fingerprint"], told["rates_ips"]
        if not (isinstance(device, str) and isinstance(mark, str) and device.isprintable()):
            raise TypeError("the names of its twin are no text")
        if not all(type(rate) in (int, float) for rate in rates):
            raise TypeError("the rates of its twin are no numbers")
        unknowns = Unknowns(recorded=recorded.astype(np.int16), **doubles)
        return cls(device, mark, tuple(map(float, rates)), unknowns)


def _rates(model: DeviceModel) -> tuple[float, ...]:
    """Return the arrivals [T] of a model, 0 for a closed loop."""
    rates = (tenant.rate_ips for tenant in model.space.workload.tenants)
    return tuple(float(rate) if math.isfinite(rate) else 0.0 for rate in rates)
