"""Draw the README's picture: how good the best answer is after each measurement (simulated).

python -m benchmarks.picture          writes docs/picture.svg, about two minutes on two cores
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from benchmarks.figures import ROOT, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.files import replacing
from envs.problems.draw_options import DrawOptions
from tuner.console import progress_bar
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.plots import progress_plot
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import simulated_cases
from tuner.evaluation.statistics import summarize
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.registry import make_search

SEARCHES = ("model_refit", "model_argmax", "gradient", "hill_climb", "random", "vendor_gpu")
BUDGETS = (1, 2, 3, 5, 8, 15, 30)


def compared(bundle: Bundle, problems: int, seeds: int) -> Comparison:
    """Compare the policy with searches on held-out problems of the device model."""
    factories = {"policy": partial(LearnedTuner, bundle)}
    factories |= {name: partial(make_search, name) for name in SEARCHES}
    cases = simulated_cases(DrawOptions(), problems, 1000)
    limits = {"policy": bundle.budget}
    with progress_bar("comparing", problems) as advance:
        return compare(factories, cases, range(seeds), BUDGETS, limits, advance, jobs=2)


def main() -> int:
    """Draw the picture and return the exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--problems", type=int, default=60)
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "picture.svg")
    given = arguments.parse_args()
    comparison = compared(load_bundle(given.bundle), given.problems, given.seeds)
    drawing = progress_plot(comparison, "policy").replace('width="100%"', 'width="960"', 1)
    with replacing(given.out) as file:
        file.write(f"{drawing}\n".encode())
    shares = [
        (tuner, budget, summarize(comparison, tuner, budget).share_mean)
        for tuner in comparison.tuners
        for budget in (3, 8)
    ]
    return report(
        [
            figure(f"{name} after {n}: share of the optimum, mean", 100 * s, "%")
            for name, n, s in shares
        ],
        given.json,
    )


if __name__ == "__main__":
    sys.exit(main())
