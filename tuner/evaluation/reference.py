"""The best configuration of a simulated case, which the answers of tuners are compared with."""

from dataclasses import replace

import numpy as np

from envs.arrays import Placements
from envs.belief.local_search import LocalSearch, starts
from envs.problems.simulated_world import DETECTABLE_SIGMAS
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.simulator.window_noise import noise_spread
from envs.spec import Configuration, MeasurementBatch, Objective, margins, rank, verdict_of
from tuner.evaluation.cases import Best

#: Local searches in a space too large to list, each with these margins inside the limits, and the
#: random configurations that each starts from.
RESTARTS, RESTART_MARGINS, RANDOM = 3, (0.0, 0.1, 0.5), 2000


def exhaustive(
    model: DeviceModel, truth: Contexts, objective: Objective, placements: Placements
) -> Best:
    """Return the best of configurations [N, T, A, 2] by the truth."""
    batch = model.batch(truth, placements)
    verdicts = verdict_of(batch, np.array(model.space.workload.weights), objective)
    row = int(rank(verdicts.score, verdicts.violation).argmax())
    return Best(
        Configuration.of(placements[row]),
        float(verdicts.score[row]),
        float(verdicts.violation[row]),
        can_be_kept(batch, objective, plain=model.machine.plain),
        "exhaustive",
    )


def can_be_kept(batch: MeasurementBatch, objective: Objective, *, plain: bool) -> bool:
    """Return True if some configuration keeps all limits by so much that a window shows it.

    See `envs.problems.simulated_world.DETECTABLE_SIGMAS`.

    Args:
        batch: outcomes without noise.
        objective: the limits.
        plain: True for a plain computer, False for a board.
    """
    late = batch.p99_ms if plain else None
    spread = noise_spread(batch.throughput_ips, processor_p99_ms=late)
    beyond = margins(batch.logs, objective.log_limits)
    return bool((beyond <= -DETECTABLE_SIGMAS * spread.T).all(axis=0).any())


def searched(
    model: DeviceModel, truth: Contexts, objective: Objective, restarts: int = RESTARTS
) -> Best:
    """Return the best configuration that local searches of the truth come across."""
    seen = []
    for restart in range(restarts):
        found = LocalSearch(model, truth, objective, RESTART_MARGINS)
        found.add(starts(model.space, np.random.default_rng(restart), RANDOM))
        found.run()
        seen.append(found.placements(np.arange(len(found))))
    return replace(exhaustive(model, truth, objective, np.concatenate(seen)), method="searched")
