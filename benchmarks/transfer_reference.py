"""Answers that are known: of small spaces by enumeration, and of a recording by its few rows.

The oracle of large spaces is a search, which is checked against enumeration of small ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure
from envs.problems.draw import draw_problem
from envs.problems.draw_options import DrawOptions
from envs.simulator.device_model import DeviceModel
from envs.spec import ConfigurationSpace, Goal
from tuner.api import optimize
from tuner.console import progress_bar
from tuner.evaluation.reference import exhaustive, searched

#: The oracle of large spaces is a search. It is compared with full enumeration in this many small
#: two-tenant spaces.
CHECKED, SMALL_BATCHES, SMALL_INSTANCES = 12, (1, 4), 2


def searched_over_exhaustive(count: int) -> float:
    """Return the smallest share of the optimum that the oracle's search finds in small spaces.

    It is 0 if the search misses that the limits can be kept.
    """
    rng, least = np.random.default_rng(0), 1.0
    with progress_bar("checking the reference of large spaces", count) as advance:
        for _ in range(count):
            drawn = draw_problem(DrawOptions(split="held_out", tenants=[0.0, 1.0]), rng)
            space = drawn.model.space
            small = ConfigurationSpace(space.device, space.workload, SMALL_INSTANCES, SMALL_BATCHES)
            model = DeviceModel(drawn.model.machine, small, drawn.model.networks)
            truth = model.drawn(rng, 1)
            best, found = (
                exhaustive(model, truth, drawn.objective, small.catalogue),
                searched(model, truth, drawn.objective),
            )
            if best.exists:
                least = min(least, found.score / best.score if found.exists else 0.0)
            advance(drawn.name)
    return least


#: Published measurements of an AGX Orin, on which both DLAs take half of the GPU's energy.
TRACE, SAVING = "agx_orin_resnet50", ("dla0", "dla1")


def saving_on_trace(bundle: Path) -> list[Figure]:
    """Tune a recording for the least energy, and tell if the answer is the two DLAs (replayed)."""
    answer = optimize(
        goal=Goal.ENERGY.value,
        bundle=bundle,
        runtime="replayed",
        trace=TRACE,
        allow_uncalibrated=True,
    )
    used = tuple(each["accelerator"] for each in answer.to_dict()["configuration"])
    start = f"{TRACE} (replayed)"
    return [
        figure(f"{start}: the answer is both DLAs alone", float(used == SAVING), "", "== 1"),
        figure(f"{start}: inferences a joule of the answer", answer.to_dict()["score"], "1/J"),
    ]
