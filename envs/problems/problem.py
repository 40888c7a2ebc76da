"""A problem to be solved: one device with its networks, an objective, and prior knowledge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from envs.arrays import Placements
from envs.belief.prior import Prior, prior_of
from envs.problems.world import default_of
from envs.simulator.device_model import DeviceModel
from envs.spec import (
    Agreements,
    Configuration,
    ConfigurationSpace,
    Objective,
    Outcome,
    Place,
    at_mean_arrivals,
    judge_measurement,
)

Made = TypeVar("Made")

#: Configurations on the shortlist of a problem that is to be solved; training makes do with fewer,
#: which are faster to assess.
WIDE = 240


@dataclass(frozen=True)
class Problem:
    """A problem as every tuner knows it before the first measurement.

    Attributes:
        space: of configurations.
        candidates: [N, T, A, 2], those that may be tried: valid, and recorded where a trace is
            replayed.
        objective: the limits.
        default: where every tuner starts; it is measured first, and counts.
        seed: of tuners that draw.
        model: a model of the device and its networks; None without one.
        open: True if the candidates are a sample of a space too large to list, so that every other
            valid configuration may be tried as well.
        is_built: says whether the engine of a place is there; None where all of them are.
        agreements: how far answers are those of FP32, by (tenant, accelerator), for reports.
        shared: what tuners of the same problem make once; nothing in it depends on a seed or was
            measured.
    """

    space: ConfigurationSpace
    candidates: Placements
    objective: Objective
    default: Configuration
    seed: int = 0
    model: DeviceModel | None = None
    open: bool = False
    is_built: Callable[[Place], bool] | None = field(default=None, repr=False, compare=False)
    agreements: Agreements = field(default_factory=dict, repr=False, compare=False)
    shared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def judge(self, outcome: Outcome) -> tuple[float, float]:
        """Return (score, violation); a failure scores 0 with the largest violation."""
        return judge_measurement(self.judged(outcome), self.objective, self.space.workload.weights)

    def judged(self, outcome: Outcome) -> Outcome:
        """Return the outcome as it is judged, see `envs.spec.at_mean_arrivals`."""
        return at_mean_arrivals(outcome, self.space.workload.rates_ips)

    @property
    def prior(self) -> Prior | None:
        """Return shortlist and belief by the model; None without a model.

        They are made, in a second or two, at the first call.
        """
        return None if self.model is None else self.once("prior", self._prior)

    def _prior(self) -> Prior:
        assert self.model is not None
        listed = not self.open and self.space.enumerable
        whole = self.open or (listed and len(self.candidates) == len(self.space.catalogue))
        return prior_of(
            self.model,
            self.objective,
            np.random.default_rng(0),
            None if whole else self.candidates,
            WIDE,
            self.default,
        )

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return the result of `make`, which the first tuner that asks for it calls."""
        if name not in self.shared:
            self.shared[name] = make()
        made: Made = self.shared[name]
        return made


def problem_of(
    model: DeviceModel, objective: Objective, candidates: Placements | None = None
) -> Problem:
    """Return the problem of finding the best configuration of a device for an objective.

    Where the space is too large to enumerate, the candidates are the shortlist of the model, and
    whatever else is valid may be tried, too.

    Args:
        model: of the device and its networks, with the space to choose from.
        objective: the limits.
        candidates: [N, T, A, 2], all that can be tried; None for every valid configuration.
    """
    space = model.space
    if candidates is None and not space.enumerable:
        return shortlist_problem(model, objective, default=space.default())
    rows = space.catalogue if candidates is None else candidates
    return Problem(space, rows, objective, default_of(space, rows), model=model)


def shortlist_problem(
    model: DeviceModel,
    objective: Objective,
    possible: Placements | None = None,
    default: Configuration | None = None,
    measured: Sequence[Configuration] = (),
) -> Problem:
    """Return a problem whose candidates are the shortlist of the model, which is made at once.

    Args:
        model: of the device and its networks, with the space to choose from.
        objective: the limits.
        possible: [N, T, A, 2], all that can be tried; None for every valid configuration.
        default: where tuners start; None for the first on the shortlist.
        measured: configurations that were measured before, which the shortlist includes.
    """
    prior = prior_of(
        model, objective, np.random.default_rng(0), possible, WIDE, default, measured=measured
    )
    start = default or Configuration.of(prior.placements[0])
    shared: dict[str, Any] = {"prior": prior}
    return Problem(
        model.space, prior.placements, objective, start, model=model, open=True, shared=shared
    )
