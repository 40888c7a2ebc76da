"""Does the built-in recording still hold on this computer?

Runs what the policy chose on the recording again, live. On another computer than the recording's
the report has to say that the numbers differ.

python -m benchmarks.live_check
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, network_files
from envs.traces.reader import find_trace, read_trace
from tuner.evaluate import EvaluationOptions, evaluate, trace_cases
from tuner.evaluation.live import LiveOptions


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--trace", default="resnet50")
    add_bundle_option(arguments)
    arguments.add_argument("--networks", nargs="+", default=["resnet50"], help="names or files")
    arguments.add_argument("--choices", type=int, default=5)
    arguments.add_argument("--out", type=Path, default=Path("runs/live_check"))
    given = arguments.parse_args()
    trace = read_trace(find_trace(given.trace))
    options = EvaluationOptions(objectives=50, seeds=1, tuners=[])
    result = evaluate(
        trace_cases(trace, options),
        {"policy": given.bundle},
        options,
        given.out,
        LiveOptions([str(path) for path in network_files(given.networks)], given.choices),
    )
    page = result.html.read_text()
    figures: list[Figure] = []
    for check in result.live:
        print(f"{check.label}: {check.sentence()}")
        moved = 100 * max(
            abs(check.live_ips / check.trace_ips - 1),
            abs(check.live_p99_ms / check.trace_p99_ms - 1),
        )
        said = (
            any(word in check.sentence() for word in ("drifted", "another machine"))
            and escape(check.sentence()) in page
        )
        figures += [
            figure(
                f"{check.label}: throughput, live over trace",
                100 * check.live_ips / check.trace_ips,
                "%",
            ),
            figure(
                f"{check.label}: p99, live over trace",
                100 * check.live_p99_ms / check.trace_p99_ms,
                "%",
            ),
            figure(
                f"{check.label}: within 10 %, or the report says that it is not",
                float(moved <= 10 or said),
                "0 or 1",
                "== 1",
            ),
        ]
    figures.append(
        figure("choices that were run live", len(result.live), "", f">= {min(given.choices, 1)}")
    )
    print(f"report: {result.html}")
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
