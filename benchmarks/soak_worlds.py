"""The devices of `benchmarks.soak_model`: drawn in the model, and never quite the same again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.soak_phases import at_places, front_of
from envs.arrays import BoolArray, FloatArray
from envs.problems.draw import DrawnProblem, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.runtimes.instant import InstantRuntime
from envs.runtimes.protocol import Transition
from envs.simulator.tails import stretched
from envs.spec import Configuration, Measurement, Origin, TenantMeasurement
from tuner.device import Device
from tuner.model_at import at_rates

#: Length of a control period [s].
PERIOD_S = 2.0

#: Configurations of a device, so that the best one can be found by looking at all of them.
FEWEST, MOST = 20, 300

#: The level of a device: the share that the next period repeats, and the deviation of what is new,
#: as logarithms. Together they wander by 4.6 %.
REPEATED, NEW = 0.9, 0.02

#: A neighbour: its chance to come in a period, its chance to go, and how much slower the device is
#: meanwhile, as logarithms.
COMES, GOES, LEAST_SLOWER, MOST_SLOWER = 0.01, 0.4, 0.1, 0.7

#: Every so many seeds a device gets slower for good in the third phase, by this logarithm.
EVERY, SLOWER = 3, 0.25

#: A limit is between these multiples of the p99 of a configuration on the front.
LEAST_ROOM, MOST_ROOM = 1.3, 2.0


@dataclass(frozen=True)
class Windows:
    """Hold what every configuration would give in every period.

    Attributes:
        ips, p99_ms: [N, K].
        disturbed: [N], whether a neighbour is there.
    """

    ips: FloatArray
    p99_ms: FloatArray
    disturbed: BoolArray


class WanderingRuntime(InstantRuntime):
    """A device of the model whose windows were drawn beforehand; each `measure` is a period."""

    origin = Origin.SIMULATED
    has_power = False

    def __init__(self, drawn: DrawnProblem, windows: Windows) -> None:
        super().__init__(drawn.model.space)
        self._windows, self._model = windows, drawn.model
        catalogue = self.space.catalogue
        self._rows = {Configuration.of(each): row for row, each in enumerate(catalogue)}
        self.period = 0

    def apply(self, configuration: Configuration) -> Transition:
        """Change at once."""
        self._check(configuration)
        self._current = configuration
        return Transition(0, configuration.total_instances, 0, 0.0)

    def measure(self, window_s: float) -> Measurement:
        """Return the window of this period."""
        at = (self.period, self._rows[self._applied()])
        ips, p99_ms = float(self._windows.ips[at]), float(self._windows.p99_ms[at])
        half, requests = 0.6 * p99_ms, int(ips * window_s) + 1
        served = TenantMeasurement(ips, half, half, p99_ms, p99_ms, p99_ms, requests)
        disturbed = bool(self._windows.disturbed[self.period])
        return Measurement((served,), window_s, self.origin, disturbed=disturbed)

    def device(self) -> Device:
        """Return the device, with the model that its controller believes in."""
        return Device(self, lambda rates: replace(self._model, space=at_rates(self.space, rates)))


def drawn_device(kind: str, misfits: list[str], rng: np.random.Generator) -> DrawnProblem:
    """Return a device of few configurations with one network in a closed loop.

    Args:
        kind: `computers` or `boards`.
        misfits: how its truth may depart from the belief, see `envs.problems.misfits`.
        rng: to draw with.
    """
    options = DrawOptions(
        tenants=[1],
        plain=float(kind == "computers"),
        open_loop=0.0,
        small_spaces=1.0,
        misfits=misfits,
    )
    while True:
        drawn = draw_problem(options, rng)
        if drawn.model.space.enumerable and FEWEST <= len(drawn.model.space.catalogue) <= MOST:
            return drawn


def drawn_windows(
    drawn: DrawnProblem, periods: int, slower_from: int | None, rng: np.random.Generator
) -> tuple[Windows, list[float]]:
    """Return what a device gives in each period, and the limit of each phase [ms].

    Args:
        drawn: the device.
        periods: N.
        slower_from: the period from which it is slower for good; None for never.
        rng: to draw with.
    """
    model = drawn.model
    ips, p99_ms = np.exp(model.batch(drawn.truth, model.space.catalogue).logs[:2].astype(float))
    level, disturbed = _levels(periods, rng)
    if slower_from is not None:
        level[slower_from:] += SLOWER
    scatter = model.noise_spread(ips[:, None], p99_ms[:, None], PERIOD_S)[:, :2]
    normals = rng.standard_normal((periods, 2, len(ips)))
    normals[:, 1] = stretched(normals[:, 1], float(drawn.misfit.numbers[0]))
    logs = scatter.T * normals + np.multiply.outer(level, [-1.0, 1.0])[..., None]
    windows = Windows(ips * np.exp(logs[:, 0]), p99_ms * np.exp(logs[:, 1]), disturbed)
    room = rng.uniform(LEAST_ROOM, MOST_ROOM)
    return windows, [room * float(p99_ms[row]) for row in at_places(front_of(ips, p99_ms))]


def _levels(periods: int, rng: np.random.Generator) -> tuple[FloatArray, BoolArray]:
    """Return how much slower the device is in each period, and whether a neighbour is there."""
    level, disturbed = np.zeros(periods), np.zeros(periods, dtype=bool)
    wandering, neighbour = 0.0, 0.0
    for period in range(periods):
        wandering = REPEATED * wandering + NEW * rng.standard_normal()
        if not neighbour and rng.random() < COMES:
            neighbour = rng.uniform(LEAST_SLOWER, MOST_SLOWER)
        elif neighbour and rng.random() < GOES:
            neighbour = 0.0
        level[period], disturbed[period] = wandering + neighbour, neighbour > 0
    return level, disturbed
