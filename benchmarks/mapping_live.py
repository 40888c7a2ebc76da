"""Do mappings of layers gain live, as much as was predicted from ten measurements?

For each network the groups' costs on the processor's accelerators are fitted to ten measurements:
the whole network on each, mappings that change the accelerator several times, of which each part is
timed, and the two mappings that then look best. Other mappings, drawn at random, are predicted and
measured. For some sets of accelerators the mapping that is predicted to be the fastest, if that is
sure, is then measured in turns with the best single accelerator. One thread computes; times are the
median over windows of the fastest run in a window, relative to the whole network in FP32 in the
same window. On a computer that others use as well, --clock cpu counts the processor's time.

python -m benchmarks.mapping_live
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.live_networks import live_files
from benchmarks.mapping_live_fit import Fitted, Measured, among, fit
from benchmarks.mapping_live_pipeline import pipeline_gain
from benchmarks.setup import NETWORKS
from envs.accuracy.samples import Array, invented
from envs.errors import DependencyError
from envs.graph.partition import partition_of
from envs.graph.reading import read_network
from envs.mappings.search import fastest
from envs.optional import optional_import
from envs.runtimes.onnxruntime.engines import OnnxEngine, OnnxEngineFactory, SegmentedOnnxEngine
from envs.spec import ConfigurationSpace, accelerator, local_computer, workload_of
from envs.spec.mapping import Mapping
from tuner.console import table

#: Two published classifiers, one with filters for each channel, and a U-Net.
NAMES = ("mobilenet_v2", "squeezenet1_1", "u_net")

ONNX_RUNTIME = ("cpu_fp32", "cpu_int8")
OPENVINO = ("openvino_fp32", "openvino_int8")

#: Times are relative to the whole network here, measured in the same windows.
REFERENCE = "cpu_fp32"

#: How often a mapping changes the accelerator at most.
TRANSITIONS = 2

#: A mapping is chosen where it is predicted to be faster than each single accelerator by this share
#: at least, and by as many standard deviations.
WORTH, SURE = 0.02, 2.0

#: Parts of the mappings that show what groups cost, and how many groups at the beginning are parts
#: of their own: the first layers are the least like the others.
PARTS, FIRST = 8, 2

#: Clocks by name.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

#: Two engines are equally fast if they differ by less: medians of windows scatter as much.
SCATTER = 0.02

#: Samples that INT8 is calibrated on; speed does not depend on them.
SAMPLES = 4


class Bench:
    """A network whose mappings are measured in turns.

    Args:
        path: its ONNX file.
        accelerators: of the processor.
        clock: one of `CLOCKS`.
        runs: of an engine in a window.
    """

    def __init__(
        self, path: Path, accelerators: Sequence[str], clock: str = "wall", runs: int = 5
    ) -> None:
        self._clock = CLOCKS[clock]
        self.path, self.network, self.partition = path, read_network(path), partition_of(path)
        self.accelerators, self._runs = tuple(accelerators), runs
        self.samples = invented(self.network, SAMPLES)
        self._inputs = [each[:1] for each in self.samples.arrays.values()]
        self._engines: dict[str, OnnxEngine | SegmentedOnnxEngine] = {}
        self._reference_s = np.nan

    def engine(self, name: str, threads: int = 1) -> OnnxEngine | SegmentedOnnxEngine:
        """Return a new engine of an accelerator, or of a mapping of them."""
        device = local_computer(self.accelerators, 1)
        space = ConfigurationSpace(device, workload_of([self.network]), 1, (1,))
        if name not in device.accelerator_names:
            space = space.with_mappings([[name]])
        column = space.device.accelerator_names.index(name)
        cache = NETWORKS / "mappings"
        return OnnxEngineFactory(space, [self.path], cache, [self.samples]).load(0, column, threads)

    def measure(self, mappings: Sequence[Mapping], windows: int) -> list[Measured]:
        """Measure mappings in turns, window by window."""
        names = [each.name for each in mappings]
        for name in dict.fromkeys([REFERENCE, *names]):
            if name not in self._engines:
                self._engines[name] = self.engine(name)
                self._window(name)
        found: dict[str, list[list[float]]] = {name: [] for name in (*names, REFERENCE)}
        for _ in range(windows):
            for name in found:
                found[name].append(self._window(name))
        reference = np.array(found[REFERENCE]).sum(axis=1)
        if np.isnan(self._reference_s):
            self._reference_s = float(np.median(reference))
        ratios = [np.median(np.array(found[name]) / reference[:, None], axis=0) for name in names]
        return [
            Measured(mapping, tuple((ratio * self._reference_s).tolist()))
            for mapping, ratio in zip(mappings, ratios, strict=True)
        ]

    def ratio(self, first: str, second: str, windows: int) -> float:
        """Return the time of the first over that of the second, the median of pairs of windows."""
        if first == second:
            return 1.0
        pairs = [(sum(self._window(first)), sum(self._window(second))) for _ in range(windows)]
        return float(np.median([mine / other for mine, other in pairs]))

    @property
    def inputs(self) -> list[Array]:
        """Return the inputs of one sample."""
        return self._inputs

    def _window(self, name: str) -> list[float]:
        """Return the times of the parts in the fastest of some runs [s]."""
        engine = self._engines[name]
        return min((self._run(engine) for _ in range(self._runs)), key=sum)

    def _run(self, engine: OnnxEngine | SegmentedOnnxEngine) -> list[float]:
        at = [self._clock()]
        if isinstance(engine, SegmentedOnnxEngine):
            engine.run_segments(self._inputs, lambda: at.append(self._clock()))
        else:
            engine.run(self._inputs)
        at.append(self._clock())
        return [stop - start for start, stop in itertools.pairwise(at)]


@dataclass
class Result:
    """What was found for one network.

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


def can_be_int8(bench: Bench, mapping: Mapping) -> bool:
    """Return True if each part on INT8 has a layer that is multiplied."""
    bounds = (0, *mapping.stops, len(bench.partition.groups))
    macs = [float(each.layers.macs.sum()) for each in bench.partition.groups]
    return all(
        sum(macs[start:stop]) > 0
        for name, (start, stop) in zip(
            mapping.accelerators, itertools.pairwise(bounds), strict=True
        )
        if accelerator(name).precision == "int8"
    )


def stripes(bench: Bench) -> list[Mapping]:
    """Return mappings of equally expensive parts that change between two accelerators.

    Each pair of accelerators gives two: who begins is changed.
    """
    costs = np.array([each.cost for each in bench.partition.groups])
    macs = np.array([float(each.layers.macs.sum()) for each in bench.partition.groups])
    wanted = costs[FIRST:].sum() / (PARTS - FIRST)
    stops, begun = [], 0
    for stop in range(1, len(costs)):
        enough = stop <= FIRST or costs[begun:stop].sum() >= wanted
        if enough and macs[begun:stop].sum() > 0 and macs[stop:].sum() > 0:
            stops.append(stop)
            begun = stop
    names = bench.accelerators
    pairs = [names[at : at + 2] for at in range(0, len(names), 2)]
    return [
        Mapping(tuple(itertools.islice(itertools.cycle(order), len(stops) + 1)), tuple(stops))
        for pair in pairs
        for order in (pair, pair[::-1])
    ]


def drawn(bench: Bench, count: int, rng: np.random.Generator) -> list[Mapping]:
    """Return different random mappings with one or two transitions."""
    groups, found = len(bench.partition.groups), dict[str, Mapping]()
    while len(found) < count:
        changes = int(rng.integers(1, TRANSITIONS + 1))
        stops = tuple(sorted(rng.choice(np.arange(1, groups), changes, replace=False).tolist()))
        names = [str(each) for each in rng.choice(bench.accelerators, changes + 1)]
        if all(one != other for one, other in itertools.pairwise(names)):
            made = Mapping(tuple(names), stops)
            if can_be_int8(bench, made):
                found[made.name] = made
    return list(found.values())


def sets_of(accelerators: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all accelerators, and those of one engine, or of one precision."""
    kinds = [ONNX_RUNTIME, OPENVINO, ("cpu_fp32", "openvino_fp32"), ("cpu_int8", "openvino_int8")]
    known = [each for each in kinds if set(each) <= set(accelerators)]
    return list(dict.fromkeys([tuple(accelerators), *known]))


def best_of(bench: Bench, fitted: Fitted, names: Sequence[str]) -> Mapping:
    """Return the mapping of some accelerators that is predicted to be the fastest."""
    costs = among(fitted.costs, names)
    found = fastest(costs, TRANSITIONS)
    if found is None or not can_be_int8(bench, found.mapping):
        return single_of(fitted, names)
    return found.mapping


def single_of(fitted: Fitted, names: Sequence[str]) -> Mapping:
    """Return the best single accelerator of some."""
    return min((Mapping((name,)) for name in names), key=fitted.time_s)


def choice(
    bench: Bench, fitted: Fitted, measured: Sequence[Measured], names: Sequence[str]
) -> tuple[Mapping, Mapping, float]:
    """Return the mapping that is chosen, the best single accelerator, and the predicted gain.

    A mapping that was measured before stands for itself.
    """
    known = {each.mapping.name: each.time_s for each in measured}
    single = single_of(fitted, names)
    single_s = known[single.name]
    looked = [each.mapping for each in measured if set(each.mapping.accelerators) <= set(names)]
    found = min(
        [*looked, best_of(bench, fitted, names)],
        key=lambda each: known.get(each.name, fitted.time_s(each)),
    )
    gain_s = single_s - known.get(found.name, fitted.time_s(found))
    sure_s = 0.0 if found.name in known else SURE * fitted.deviation_s(found, single)
    if gain_s < max(WORTH * single_s, sure_s):
        return single, single, 0.0
    return found, single, gain_s / single_s


def calibrated(bench: Bench, windows: int) -> list[Measured]:
    """Measure at most ten mappings: single accelerators, stripes, and twice the best so far."""
    singles = [Mapping((name,)) for name in bench.accelerators]
    measured = bench.measure([*singles, *stripes(bench)], windows)
    for _ in range(2):
        fitted = fit(bench.network.name, bench.partition, bench.accelerators, measured)
        known = {each.mapping.name for each in measured}
        looked = [best_of(bench, fitted, each) for each in sets_of(bench.accelerators)]
        new = [each for each in looked if each.name not in known]
        if new:
            measured += bench.measure(new[:1], windows)
    return measured


def result_of(bench: Bench, given: argparse.Namespace, checked: int) -> Result:
    """Calibrate, predict, measure, and compare the chosen mappings with single accelerators."""
    found, rng = Result(), np.random.default_rng(given.seed)
    measured = calibrated(bench, given.windows)
    fitted = fit(bench.network.name, bench.partition, bench.accelerators, measured)
    found.calibrated = len(measured)
    known = {each.mapping.name for each in measured}
    others = [each for each in drawn(bench, checked + 10, rng) if each.name not in known][:checked]
    for each in bench.measure(others, given.windows):
        guess_s = fitted.time_s(each.mapping)
        found.errors.append(abs(guess_s / each.time_s - 1))
        times = [f"{1e3 * guess_s:.3f}", f"{1e3 * each.time_s:.3f}"]
        found.rows.append([bench.path.stem, each.mapping.name, *times])
    for names in sets_of(bench.accelerators):
        best, single, predicted = choice(bench, fitted, measured, names)
        bench.measure([best, single], 1)  # loads what was not measured yet
        ratio = bench.ratio(best.name, single.name, 2 * given.windows)
        found.gains.append((predicted, 1 - ratio))
        found.chosen.append(
            [
                bench.path.stem,
                ", ".join(names),
                single.name,
                best.name,
                f"{predicted:.1%}",
                f"{1 - ratio:.1%}",
            ]
        )
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
        figure("measurements of a network that were fitted, most", _most(results), "", "<= 10"),
        figure("mappings predicted and measured", len(errors), ""),
        figure("their time, predicted: median error", 100 * float(np.median(errors)), "%", "<= 15"),
        figure("the same, worst", 100 * max(errors), "%"),
        figure("choices of a mapping or a single accelerator", len(gains), ""),
        figure("of those, mappings with several parts", len(mapped), ""),
        figure("chosen, as fast as the best single accelerator", as_fast, "% of cases", ">= 95"),
        figure("its gain, measured against predicted, median", np.median(apart), "points", "<= 5"),
        figure("the same, worst", float(apart.max()), "points"),
        figure("gain of chosen mappings, measured, most", 100 * float(gains[:, 1].max()), "%"),
        *(
            figure(f"{name}: pipeline of parts over two instances", 100 * gain, "%")
            for name, gain in zip(NAMES, pipelines, strict=False)
        ),
    ]


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
