"""Compare the policy with searches after a few measurements on a built-in recording.

The recording is replayed under limits that no training drew.

python -m benchmarks.quality
python -m benchmarks.quality --trace resnet50_mobilenet_v2
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.traces.reader import find_trace, read_trace
from tuner.evaluate import EvaluationOptions, evaluate, show, trace_cases
from tuner.evaluation.front import RULE
from tuner.evaluation.statistics import summarize


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--trace", default="resnet50")
    add_bundle_option(arguments)
    arguments.add_argument("--objectives", type=int, default=30)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument(
        "--tpe",
        type=int,
        default=30,
        help="measurements after which TPE stops, because its decisions are slow",
    )
    arguments.add_argument(
        "--gp",
        type=int,
        default=15,
        help="measurements after which GP stops, because its decisions are slower",
    )
    arguments.add_argument("--out", type=Path, default=Path("runs/quality"))
    given = arguments.parse_args()
    options = EvaluationOptions(
        given.objectives, given.seeds, max_measurements={"gp": given.gp, "tpe": given.tpe}
    )
    result = evaluate(
        trace_cases(read_trace(find_trace(given.trace)), options),
        {"policy": given.bundle},
        options,
        given.out,
    )
    show(result)
    goals = {("policy", 3): (">= 97", ">= 90", ">= 99")} if given.trace == "resnet50" else {}
    figures: list[Figure] = []
    for budget in (3, 8):
        for tuner in ("policy", RULE, "random", "hill_climb", "tpe", "gp"):
            most = len(result.comparison.runs(tuner)[0][0])
            if budget > min(most, options.max_measurements.get(tuner, budget)):
                continue
            each = summarize(result.comparison, tuner, budget)
            mean, low, found = goals.get((tuner, budget), ("", "", ""))
            figures += [
                figure(
                    f"{tuner} after {budget}: share of the oracle, mean",
                    100 * each.share_mean,
                    "%",
                    mean,
                ),
                figure(
                    f"{tuner} after {budget}: share of the oracle, 5th percentile",
                    100 * each.share_p5,
                    "%",
                    low,
                ),
                figure(
                    f"{tuner} after {budget}: feasible where possible",
                    100 * each.feasible_share,
                    "%",
                    found,
                ),
            ]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
