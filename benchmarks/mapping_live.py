"""Do mappings of layers gain live, as much as was predicted from ten measurements?

For each network the groups' costs on the processor's accelerators are fitted to ten measurements:
the whole network on each, mappings that change the accelerator several times, of which each part is
timed, and two mappings that then look best. Other mappings, drawn at random, are predicted and
measured.
For some sets of accelerators the mapping that is predicted to be the fastest, if that is sure, is
then measured in turns with the best single accelerator. The same is done under a limit on
agreement: answers may lose half of what they lose in INT8, so that INT8 alone is no choice and a
mapping may gain. One thread computes; times are the median over windows of the fastest run in a
window, relative to the whole network in FP32 in the same window. On a computer that others use as
well, --clock cpu counts the processor's time.

python -m benchmarks.mapping_live
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.live_networks import live_files
from benchmarks.mapping_live_bench import CLOCKS, Bench, drawn, stripes
from benchmarks.mapping_live_choice import (
    ONNX_RUNTIME,
    OPENVINO,
    Choice,
    best_of,
    choice,
    choice_within,
    sets_of,
)
from benchmarks.mapping_live_fit import Fitted, Measured, fit
from benchmarks.mapping_live_pipeline import pipeline_gain
from envs.arrays import FloatArray
from envs.errors import DependencyError
from envs.optional import optional_import
from envs.spec.mapping import Mapping
from tuner.console import table

#: Two published classifiers, one with filters for each channel, and a U-Net.
NAMES = ("mobilenet_v2", "squeezenet1_1", "u_net")

#: Measurements that are fitted, of each network.
MEASUREMENTS = 10

#: Two engines are equally fast if they differ by less: medians of windows scatter as much.
SCATTER = 0.02


@dataclass
class Result:
    """Hold what was found for one network.

    Attributes:
        errors: relative errors of predicted times.
        rows: of the table: mapping, predicted and measured [ms].
        gains: (predicted, measured) of the chosen mapping of each set of accelerators.
        chosen: its name, by set.
        calibrated: measurements that were fitted.
    """

    errors: list[float] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    gains: list[tuple[float, float]] = field(default_factory=list)
    chosen: list[list[str]] = field(default_factory=list)
    calibrated: int = 0


def calibrated(bench: Bench, windows: int) -> list[Measured]:
    """Measure single accelerators, stripes, and twice what then looks best, if it is new."""
    singles = [Mapping((name,)) for name in bench.accelerators]
    measured = bench.measure([*singles, *stripes(bench)], windows)
    for _ in range(2):
        fitted = fitted_to(bench, measured)
        known = {each.mapping.name for each in measured}
        looked = [best_of(bench, fitted, each) for each in sets_of(bench.accelerators)]
        new = [each for each in looked if each.name not in known]
        if new:
            measured += bench.measure(new[:1], windows)
    return measured


def fitted_to(bench: Bench, measured: Sequence[Measured]) -> Fitted:
    """Return the costs of a network's groups that were measured."""
    return fit(bench.network.name, bench.partition, bench.accelerators, measured)


def agreeing(bench: Bench, measured: list[Measured], windows: int) -> list[tuple[str, Choice]]:
    """Return what is chosen under limits on agreement; `measured` gets it where there is room."""
    pairs = [each for each in (ONNX_RUNTIME, OPENVINO) if set(each) <= set(bench.accelerators)]
    for pair in pairs:
        best, single, _ = choice_within(bench, fitted_to(bench, measured), measured, pair)
        if best != single and len(measured) < MEASUREMENTS:
            measured += bench.measure([best], windows)
    fitted = fitted_to(bench, measured)
    return [
        (f"{', '.join(pair)}, agreeing", choice_within(bench, fitted, measured, pair))
        for pair in pairs
    ]


def result_of(bench: Bench, given: argparse.Namespace, checked: int) -> Result:
    """Calibrate, predict, measure, and compare the chosen mappings with single accelerators."""
    found, rng = Result(), np.random.default_rng(given.seed)
    measured = calibrated(bench, given.windows)
    within = agreeing(bench, measured, given.windows)
    fitted = fitted_to(bench, measured)
    found.calibrated = len(measured)
    known = {each.mapping.name for each in measured}
    others = [each for each in drawn(bench, checked + 10, rng) if each.name not in known][:checked]
    for each in bench.measure(others, given.windows):
        guess_s = fitted.time_s(each.mapping)
        found.errors.append(abs(guess_s / each.time_s - 1))
        times = [f"{1e3 * guess_s:.3f}", f"{1e3 * each.time_s:.3f}"]
        found.rows.append([bench.path.stem, each.mapping.name, *times])
    sets = sets_of(bench.accelerators)
    chosen = [(", ".join(each), choice(bench, fitted, measured, each)) for each in sets]
    for words, (best, single, predicted) in [*chosen, *within]:
        bench.measure([best, single], 1)  # loads what was not measured yet
        ratio = bench.ratio(best.name, single.name, 2 * given.windows)
        found.gains.append((predicted, 1 - ratio))
        gains = [f"{predicted:.1%}", f"{1 - ratio:.1%}"]
        found.chosen.append([bench.path.stem, words, single.name, best.name, *gains])
    return found


def figures_of(results: Sequence[Result], pipelines: Sequence[float]) -> list[Figure]:
    """Return the figures over all networks."""
    errors = [error for each in results for error in each.errors]
    gains = np.array([pair for each in results for pair in each.gains])
    as_fast = 100 * float(np.mean(gains[:, 1] >= -SCATTER))
    apart = 100 * np.abs(gains[:, 0] - gains[:, 1])
    mapped = gains[gains[:, 0] > 0]
    return [
        figure("networks", len(results), ""),
        figure(
            "measurements of a network that were fitted, most",
            _most(results),
            "",
            f"<= {MEASUREMENTS}",
        ),
        figure("mappings predicted and measured", len(errors), ""),
        figure("their time, predicted: median error", 100 * float(np.median(errors)), "%", "<= 15"),
        figure("the same, worst", 100 * max(errors), "%"),
        figure("choices of a mapping or a single accelerator", len(gains), ""),
        figure("of those, mappings with several parts", len(mapped), ""),
        figure("chosen, as fast as the best single accelerator", as_fast, "% of cases", ">= 95"),
        figure("its gain, measured against predicted, median", np.median(apart), "points", "<= 5"),
        figure("the same, worst", float(apart.max()), "points"),
        figure("of mappings with several parts, median", _apart(mapped), "points", "<= 5"),
        figure("gain of chosen mappings, measured, least", 100 * _least(mapped), "%"),
        figure("gain of chosen mappings, measured, most", 100 * float(gains[:, 1].max()), "%"),
        *(
            figure(f"{name}: pipeline of parts over two instances", 100 * gain, "%")
            for name, gain in zip(NAMES, pipelines, strict=False)
        ),
    ]


def _apart(gains: FloatArray) -> float:
    """Return the median distance of predicted and measured gains in points; NaN of none."""
    return 100 * float(np.median(np.abs(gains[:, 0] - gains[:, 1]))) if len(gains) else np.nan


def _least(gains: FloatArray) -> float:
    """Return the smallest measured gain; NaN of none."""
    return float(gains[:, 1].min()) if len(gains) else np.nan


def _most(results: Sequence[Result]) -> int:
    return max(each.calibrated for each in results)


def accelerators_here() -> tuple[str, ...]:
    """Return the processor's accelerators, those of OpenVINO where it is installed."""
    try:
        optional_import("openvino", "openvino")
    except DependencyError:
        return ONNX_RUNTIME
    return (*ONNX_RUNTIME, *OPENVINO)


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", default=NAMES, help="names or files")
    arguments.add_argument(
        "--mappings", type=int, default=20, help="predicted and measured, in all"
    )
    arguments.add_argument("--windows", type=int, default=40, help="of each measurement")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--short", action="store_true", help="fewer windows, about a minute")
    arguments.add_argument("--clock", choices=CLOCKS, default="wall", help="that times runs")
    given = arguments.parse_args()
    given.windows = 10 if given.short else given.windows
    results, pipelines, left = list[Result](), list[float](), given.mappings
    for done, path in enumerate(live_files(list(given.networks))):
        bench = Bench(path, accelerators_here(), given.clock)
        checked = -(-left // (len(given.networks) - done))
        left -= checked
        results.append(result_of(bench, given, checked))
        if not given.short:
            pipelines.append(pipeline_gain(bench.engine, bench.partition, bench.inputs))
    table(
        ["network", "mapping", "predicted [ms]", "measured [ms]"],
        [row for each in results for row in each.rows],
    )
    table(
        ["network", "accelerators", "best single", "chosen", "gain predicted", "measured"],
        [row for each in results for row in each.chosen],
    )
    return report(figures_of(results, pipelines), given.json)


if __name__ == "__main__":
    sys.exit(main())
