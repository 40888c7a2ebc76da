"""Time proposals for several networks. A part of `benchmarks.several`."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from benchmarks.figures import Figure, figure
from envs.belief.prior import prior_of
from envs.problems.draw import draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import WIDE

#: Seconds that proposals for five networks on four accelerators may take, and how many such
#: problems are timed.
PROPOSAL_S, TIMED = "< 1", 5


def drawing(tenants: int) -> DrawOptions:
    """Return options that draw problems of so many tenants."""
    return DrawOptions(tenants=[0.0] * (tenants - 1) + [1.0])


def proposal_figures(seed: int, count: int = TIMED) -> list[Figure]:
    """Return the median seconds until five tenants have proposals, in a closed and an open loop.

    Processor time of one core, so that what else runs on the computer counts little.
    """
    figures = []
    # A process of its own: NumPy reads how many cores it may use when it is imported.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        for share, loop in enumerate(("a closed loop", "arrivals at a rate")):
            name = f"proposals for five networks on one core, {loop}"
            took = executor.submit(_proposals_s, seed, count, float(share)).result()
            figures.append(figure(name, took, "s", PROPOSAL_S))
    return figures


def _proposals_s(seed: int, count: int, open_loop: float) -> float:
    took, options = [], replace(drawing(5), split="held_out", open_loop=open_loop)
    for index in range(count):
        drawn = draw_problem(options, np.random.default_rng([seed, index]))
        start = time.process_time()
        prior_of(drawn.model, drawn.objective, np.random.default_rng(0), size=WIDE)
        took.append(time.process_time() - start)
    return float(np.median(took))
