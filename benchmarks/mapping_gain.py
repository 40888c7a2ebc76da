"""Predict what dividing a network, or two at once, among GPU and DLA gains; compare with papers.

One network: the gain of `envs.mappings.gain` over the best single accelerator, for image
classifiers on AGX Xavier and AGX Orin. A paper (Dagli and Belviranli, RSDHA 2021) reports up to
28 % on Xavier; its formula is not public, and `mapping_gain_readings` tries others. Two networks
at once: the pairs of HaX-CoNN (PPoPP 2024) with the results that its artifact ships, the best
schedules and those of the artifact itself. Nothing was fitted to either. Last, how long the exact
search takes; times of the search are processor time.

python -m benchmarks.mapping_gain [--quick]
python -m benchmarks.mapping_gain --forms        the pairs alone, under other forms of contention
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.mapping_gain_forms import form_figures
from benchmarks.mapping_gain_networks import network_figures
from benchmarks.mapping_gain_pairs import pair_figures
from benchmarks.mapping_gain_readings import reading_figures
from benchmarks.published_schedules import XAVIER, beside_figures, schedule_figures
from envs.mappings.costs import GroupCosts
from envs.mappings.search import fastest, least_energy, pareto_front
from tuner.console import table

#: The size of the problems whose search is timed.
GROUPS, ACCELERATORS = 60, ("cuda", "tensor", "dla0", "cpu_fp32")


def random_costs(seed: int, opposed: bool) -> GroupCosts:
    """Return random costs of 60 groups on four accelerators.

    Args:
        seed: of the draw.
        opposed: True where time and energy of a group nearly add up to the same everywhere, so that
            the front has thousands of members; else accelerators differ in both by chance.
    """
    rng = np.random.default_rng(seed)
    shape = (GROUPS, len(ACCELERATORS))
    if opposed:
        time_s = rng.uniform(0, 1, shape)
        energy_j = 1.01 - time_s + rng.uniform(0, 0.05, shape)
    else:
        size = rng.lognormal(0, 1, (GROUPS, 1))
        time_s = size * rng.uniform(0.5, 2, shape) * np.linspace(0.6, 2, len(ACCELERATORS))
        energy_j = size * rng.uniform(0.5, 2, shape) * np.linspace(2, 0.6, len(ACCELERATORS))
    moves = rng.uniform(0, 0.05, (GROUPS, len(ACCELERATORS), len(ACCELERATORS)))
    same = np.arange(len(ACCELERATORS))
    moves[:, same, same] = moves[0] = 0
    nothing = np.zeros(len(ACCELERATORS))
    return GroupCosts(
        "random",
        ACCELERATORS,
        1,
        time_s,
        energy_j,
        np.zeros(shape),
        moves,
        moves,
        *[nothing] * 4,
        layers=np.ones(GROUPS, dtype=int),
        crossing_bytes=np.zeros(GROUPS),
    )


def _seconds(search: Callable[[], object]) -> float:
    began = time.process_time()
    search()
    return time.process_time() - began


def search_figures() -> list[Figure]:
    """Print how long searches of 60 groups on four accelerators take, and return the longest."""
    rows, longest = [], 0.0
    for opposed in (False, True):
        for bound in (3, None):
            costs = random_costs(1, opposed)
            front = pareto_front(costs, bound)
            middle_s = (front[0].time_s + front[-1].time_s) / 2
            middle_j = (front[0].energy_j + front[-1].energy_j) / 2
            seconds = [
                _seconds(lambda costs=costs, bound=bound: pareto_front(costs, bound)),
                _seconds(lambda c=costs, b=bound, s=middle_s: least_energy(c, b, s)),
                _seconds(lambda c=costs, b=bound, j=middle_j: fastest(c, b, j)),
            ]
            longest = max(longest, *seconds)
            words = "time and energy opposed" if opposed else "at random"
            rows.append(
                [words, str(bound or "any"), f"{len(front)}", *(f"{s:.2f}" for s in seconds)]
            )
    print("Exact search, 60 layer groups on four accelerators [s of one core]")
    heads = ["costs", "transitions", "members of the front", "front"]
    table([*heads, "least energy in a limit", "least latency in a limit"], rows)
    return [figure("longest search, 60 groups on four accelerators", longest, "s", "< 1")]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--quick", action="store_true", help="leave out other inputs than the model's own"
    )
    arguments.add_argument(
        "--forms", action="store_true", help="compare forms of contention on the pairs alone"
    )
    given = arguments.parse_args()
    if given.forms:
        return report(form_figures(), given.json)
    figures = network_figures(given.quick) + reading_figures(XAVIER)
    figures += pair_figures(given.quick) + schedule_figures() + beside_figures() + search_figures()
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
