"""Cases that the device model answers: boards, networks, spaces and limits that no training drew, each with a truth of its own.

Nothing here is measured: every outcome says that it was simulated.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np

from envs.arrays import Placements
from envs.belief.prior import prior_of
from envs.belief.shortlist import random_placements, search, valid
from envs.problems.draw import DrawnProblem, DrawOptions, draw_problem, sample_placements
from envs.problems.problem import WIDE, Problem
from envs.problems.world import TELLING
from envs.simulator.device_model import WINDOW_S, DeviceModel, noise_spread
from envs.simulator.response import Response
from envs.simulator.tables import Contexts
from envs.simulator.window import applying_s, simulated_window
from envs.spec.measurement import Measurement, MeasurementBatch, Outcome
from envs.spec.objective import Objective, margins, rank, verdict_of
from envs.spec.space import Configuration
from envs.traces.reader import Trace
from tuner.evaluation.cases import Best, Case, Session

#: Spaces above this many combinations are not listed: tuners get a random sample, and may ask for whatever else is valid.
LISTED, SAMPLE = 1_000_000, 20_000

#: Local searches that the reference of such a space is made of, each with margins of its own inside the limits.
RESTARTS, RESTART_MARGINS = 3, (0.0, 0.1, 0.5)

#: Truths that are kept, for tuners that ask for the same.
KEPT = 4096


@dataclass(frozen=True)
class SimulatedCases:
    """`count` problems drawn with `seed`; the same ones whatever else is drawn, and however many of them."""

    options: DrawOptions
    count: int
    seed: int = 0

    @property
    def trace(self) -> Trace | None:
        return None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Case:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, index]))
        return simulated_case(draw_problem(self.options, rng), rng, (self.seed, index))


def simulated_cases(options: DrawOptions, count: int, seed: int = 0) -> SimulatedCases:
    """Problems from boards, networks and limits that training never draws."""
    return SimulatedCases(replace(options, split="held_out"), count, seed)


def simulated_case(drawn: DrawnProblem, rng: np.random.Generator, key: tuple[int, ...]) -> Case:
    """One case; `key` tells its noise from that of others."""
    model, objective = drawn.model, drawn.objective
    space = model.space
    listed = space.combinations <= LISTED
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
    window = Windows(model, drawn.truth, key)
    return Case(drawn.name, problem, window.session, best, window.truth, groups)


def _sampled(model: DeviceModel, default: Configuration, rng: np.random.Generator) -> Placements:
    """A random sample of a space too large to list, and the default: [N, T, A, 2]."""
    every = np.concatenate([default.array()[None], sample_placements(model.space, rng, SAMPLE)])
    return every[np.sort(np.unique(model.space.codes(every), return_index=True)[1])]


def exhaustive(
    model: DeviceModel, truth: Contexts, objective: Objective, placements: Placements
) -> Best:
    """The best of configurations [N, T, A, 2]."""
    batch = model.batch(truth, placements)
    verdicts = verdict_of(batch, np.array(model.space.workload.weights), objective)
    row = int(rank(verdicts.score_ips, verdicts.violation).argmax())
    return Best(
        Configuration.of(placements[row]),
        float(verdicts.score_ips[row]),
        float(verdicts.violation[row]),
        can_be_kept(batch, objective),
        "exhaustive",
    )


def can_be_kept(batch: MeasurementBatch, objective: Objective) -> bool:
    """Whether some configuration keeps all limits by so much that a window shows it, see `envs.problems.world.TELLING`."""
    spread = noise_spread(batch.throughput_ips)[:, batch.throughput_ips.shape[1] :]
    beyond = margins(batch.logs, objective.log_limits)[batch.throughput_ips.shape[1] :]
    return bool((beyond <= -TELLING * spread.T).all(axis=0).any())


def searched(
    model: DeviceModel, truth: Contexts, objective: Objective, restarts: int = RESTARTS
) -> Best:
    """The best that local searches of the truth come across."""
    space = model.space
    tenants, accelerators = space.shape
    where = np.stack(
        np.unravel_index(np.arange(accelerators**tenants), (accelerators,) * tenants), axis=-1
    )
    alone = np.zeros((len(where), tenants, accelerators, 2), dtype=np.int16)
    alone[np.arange(len(where))[:, None], np.arange(tenants), where] = (1, space.batches[0])
    seen = [
        valid(space, alone),
        valid(space, random_placements(space, np.random.default_rng(0), 2000)),
    ]
    for restart in range(restarts):
        for margin in RESTART_MARGINS:
            seen.append(search(model, truth, objective, np.random.default_rng(restart), margin))
    return replace(exhaustive(model, truth, objective, np.concatenate(seen)), found="searched")


@dataclass(frozen=True)
class Windows:
    """Simulated windows of one truth.

    The noise of a window follows from the case, the seed, the configuration and how often it was measured before, and from nothing else,
    so that it is the same for all tuners.
    """

    model: DeviceModel
    context: Contexts
    key: tuple[int, ...]
    _known: OrderedDict[int, Response] = field(default_factory=OrderedDict, repr=False)

    def truth(self, placements: Placements) -> MeasurementBatch:
        """Of configurations [M, T, A, 2], without noise."""
        found = [self._response(each) for each in placements]
        power = (
            np.concatenate([each.power_w for each in found])
            if self.model.has_power
            else np.full(len(found), np.nan)
        )
        cost = np.full(len(found), WINDOW_S)
        throughput, p99 = (
            np.concatenate([getattr(each, name) for each in found])
            for name in ("throughput_ips", "p99_ms")
        )
        return MeasurementBatch(
            throughput, p99, power, cost, power * cost, np.zeros(len(found), dtype=bool)
        )

    def session(self, seed: int) -> Session:
        """A run, from a device that serves nothing."""
        before: list[Configuration] = []
        counts: dict[Configuration, int] = {}

        def measure(configuration: Configuration) -> Outcome:
            repeat = counts.get(configuration, 0)
            counts[configuration] = repeat + 1
            apply_s = applying_s(before[-1] if before else None, configuration)
            before[:] = [configuration]
            return self.measurement(configuration, seed, repeat, apply_s)

        return measure

    def measurement(
        self, configuration: Configuration, seed: int, repeat: int, apply_s: float
    ) -> Measurement:
        """One window."""
        self.model.space.check(configuration)
        found = self._response(configuration.array())
        code = int(self.model.space.codes(configuration.array()))
        return simulated_window(
            self.model,
            configuration,
            found,
            np.random.default_rng(np.random.SeedSequence([*self.key, seed, code, repeat])),
            apply_s,
        )

    def _response(self, placements: Placements) -> Response:
        code = int(self.model.space.codes(placements))
        if code not in self._known:
            if len(self._known) >= KEPT:
                self._known.popitem(last=False)
            self._known[code] = self.model.response(self.context, placements[None])
        return self._known[code]
