"""Cases that the device model answers, of boards, networks and limits that no training drew.

Nothing here is measured: every outcome says that it was simulated.
"""

from dataclasses import dataclass, replace

import numpy as np

from envs.arrays import Placements
from envs.belief.prior import prior_of
from envs.problems.draw import DrawnProblem, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import NUMBERS, Misfit, truth_of_windows
from envs.problems.problem import WIDE, Problem
from envs.problems.sampling import sample_placements
from envs.problems.simulated_world import disturbed
from envs.simulator.device_model import DeviceModel
from envs.simulator.response import Response, logarithms
from envs.simulator.tables import Contexts
from envs.simulator.window import simulated_window
from envs.spec import Configuration, MeasurementBatch, Outcome
from envs.spec.change_cost import change_s
from envs.traces.reader import Trace
from tuner.evaluation.cases import Case, Session
from tuner.evaluation.reference import exhaustive, searched

#: A space above this many combinations is not listed: tuners get a random sample of this size, and
#: may ask for every other valid configuration.
MAX_LISTED, SAMPLE = 1_000_000, 20_000


@dataclass(frozen=True)
class SimulatedCases:
    """Problems drawn from options; the first ones are the same for every count.

    Attributes:
        options: to draw from.
        count: number of problems.
        seed: of the draw.
    """

    options: DrawOptions
    count: int
    seed: int = 0

    @property
    def trace(self) -> Trace | None:
        """Return None: nothing is replayed."""
        return None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Case:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, index]))
        return simulated_case(draw_problem(self.options, rng), rng, (self.seed, index))


def simulated_cases(options: DrawOptions, count: int, seed: int = 0) -> SimulatedCases:
    """Draw problems from boards, networks and limits that training never draws."""
    return SimulatedCases(replace(options, split="held_out"), count, seed)


def simulated_case(drawn: DrawnProblem, rng: np.random.Generator, key: tuple[int, ...]) -> Case:
    """Return one case; its `key` makes its noise differ from that of other cases."""
    model, objective = drawn.model, drawn.objective
    space = model.space
    listed = space.combinations <= MAX_LISTED
    prior = prior_of(model, objective, np.random.default_rng(0), size=WIDE)
    default = Configuration.of(prior.placements[0])
    candidates = space.catalogue if listed else _sampled(model, default, rng)
    problem = Problem(
        space, candidates, objective, default, model=model, open=not listed, shared={"prior": prior}
    )
    best = (
        exhaustive(model, drawn.truth, objective, candidates)
        if listed
        else searched(model, drawn.truth, objective)
    )
    groups = {
        "board": (space.device.name.split(" (")[0],),
        "network": space.workload.names,
        "tenants": (str(space.shape[0]),),
    }
    other = disturbed(drawn.truth, np.random.default_rng(np.random.SeedSequence(key)))
    window = Windows(model, drawn.truth, key, drawn.misfit, other)
    return Case(drawn.name, problem, window.session, best, window.truth, groups)


def _sampled(model: DeviceModel, default: Configuration, rng: np.random.Generator) -> Placements:
    """Return a random sample of the space, with the default, [N, T, A, 2]."""
    every = np.concatenate([default.array()[None], sample_placements(model.space, rng, SAMPLE)])
    return every[np.sort(np.unique(model.space.codes(every), return_index=True)[1])]


@dataclass(frozen=True)
class Windows:
    """Simulated windows of one truth.

    The noise of a window depends on the case, the seed, the configuration and how often it was
    measured before, and on nothing else, so that it is the same for all tuners. Whether a neighbour
    is busy depends on how many windows came before.

    Attributes:
        model: of the device.
        context: the truth about it.
        key: numbers that identify the case.
        misfit: how windows depart from what is believed of them.
        other: the truth while the device is hot or shared, for misfits that have such a time.
    """

    model: DeviceModel
    context: Contexts
    key: tuple[int, ...]
    misfit: Misfit
    other: Contexts

    def truth(self, placements: Placements) -> MeasurementBatch:
        """Return the outcomes of configurations [N, T, A, 2] without noise."""
        return self.model.batch(self.context, placements)

    def session(self, seed: int) -> Session:
        """Begin a run with a device that serves nothing."""
        before: list[Placements] = []
        counts: dict[Configuration, int] = {}

        def measure(configuration: Configuration) -> Outcome:
            self.model.space.check(configuration)
            repeat, step = counts.get(configuration, 0), sum(counts.values())
            counts[configuration] = repeat + 1
            placements, last = configuration.array(), before[-1] if before else None
            apply_s = float(change_s(self.model.space, last, placements))
            before[:] = [placements]
            chance = np.random.default_rng(np.random.SeedSequence([*self.key, seed, step])).random()
            seeds = [*self.key, seed, int(self.model.space.codes(placements)), repeat]
            return simulated_window(
                self.model,
                configuration,
                self._response(placements, placements if last is None else last, step, chance),
                self.context.rate_ips[0],
                np.random.default_rng(np.random.SeedSequence(seeds)),
                apply_s,
                tail_weight=float(self.misfit.numbers[NUMBERS.index("tail")]),
            )

        return measure

    def _response(
        self, placements: Placements, last: Placements, step: int, chance: float
    ) -> Response:
        """Return the response of a configuration [T, A, 2] while its window is open.

        Args:
            placements: of the configuration.
            last: of the one before; the same at first.
            step: windows before.
            chance: uniform in [0, 1): whether a neighbour is busy.
        """
        found = self.model.response(self.context, placements[None])
        if not self.misfit.numbers[1:].any():
            return found
        true, other, before = (
            logarithms(each)
            for each in (
                found,
                self.model.response(self.other, placements[None]),
                self.model.response(self.context, last[None]),
            )
        )
        numbers, power = self.misfit.numbers[None], before[:, -1]
        now = truth_of_windows(numbers, np.array([step]), true, other, power, np.array([chance]))
        factors, tenants = np.exp(now - true), found.p99_ms.shape[1]
        late = factors[:, tenants:-1]
        return replace(
            found,
            throughput_ips=found.throughput_ips * factors[:, :tenants],
            p50_ms=found.p50_ms * late,
            p99_ms=found.p99_ms * late,
            rails_w=found.rails_w * np.nan_to_num(factors[:, -1:], nan=1.0),
        )
