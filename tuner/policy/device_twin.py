"""What a bundle knows of one recorded device: there its belief starts from the recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from envs.arrays import NamedArrays
from envs.problems.problem import Problem
from envs.simulator.conditioning import fingerprint
from envs.simulator.device_model import DeviceModel
from envs.simulator.unknowns import Unknowns

#: Arrays of a bundle's file and their number of axes.
ARRAYS = {"mean": 1, "directions": 2, "spread": 1, "discrepancy": 1}

#: What the arrays are called in the file.
PREFIX = "twin."


@dataclass(frozen=True, eq=False)
class DeviceTwin:
    """The unknowns of a recorded device, with what they belong to.

    Attributes:
        device: its name, for messages.
        fingerprint: see `envs.simulator.conditioning.fingerprint`.
        unknowns: what the recording left of them.
    """

    device: str
    fingerprint: str
    unknowns: Unknowns

    @classmethod
    def of(cls, model: DeviceModel) -> DeviceTwin:
        """Return the twin of a conditioned model."""
        assert model.unknowns is not None, "it was conditioned"
        return cls(model.space.device.name, fingerprint(model), model.unknowns)

    def fits(self, model: DeviceModel) -> bool:
        """Return True if the model is of the recorded device, its networks and batch sizes."""
        known, quantities = self.unknowns, 2 * model.space.shape[0] + 1
        sizes = (len(known.mean), len(known.discrepancy)) == (model.unknown_count, quantities)
        return sizes and fingerprint(model) == self.fingerprint

    def remark(self, model: DeviceModel) -> str:
        """Return a sentence on whether the recording tells anything of this device."""
        if self.fits(model):
            return f"the belief starts from a recording of {self.device}"
        return (
            f"the policy was trained on a twin of {self.device}, with other networks, layers, batch"
            " sizes or another power mode: what its recording told is not used here"
        )

    def informed(self, model: DeviceModel) -> DeviceModel:
        """Return the model with what the recording told; any other device's stays as it is."""
        if model.unknowns is not None or not self.fits(model):
            return model
        return replace(model, unknowns=self.unknowns)

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

    @classmethod
    def read(cls, told: Any, arrays: NamedArrays) -> DeviceTwin:
        """Return the twin in a bundle's file.

        Args:
            told: device and fingerprint, from the manifest.
            arrays: those of the file, from which the twin's are taken out.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        found = {name: arrays.pop(PREFIX + name) for name in ARRAYS}
        for name, axes in ARRAYS.items():
            array = found[name]
            if array.dtype != np.float32 or array.ndim != axes or not np.isfinite(array).all():
                raise ValueError(f"{PREFIX}{name} is not finite float32 with {axes} axes")
        unknowns = Unknowns(**{name: array.astype(np.float64) for name, array in found.items()})
        if unknowns.directions.shape != (unknowns.spread.size, unknowns.mean.size):
            raise ValueError("the arrays of its twin do not fit each other")
        if not ((unknowns.spread > 0) & (unknowns.spread <= 1)).all():
            raise ValueError("a spread of its twin is not above 0 and at most 1")
        if not (unknowns.discrepancy > 0).all():
            raise ValueError("a discrepancy of its twin is not above 0")
        device, mark = told["device"], told["fingerprint"]
        if not (isinstance(device, str) and isinstance(mark, str) and device.isprintable()):
            raise TypeError("the names of its twin are no text")
        return cls(device, mark, unknowns)
