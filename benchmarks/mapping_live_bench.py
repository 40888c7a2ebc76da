"""Measure mappings of one network in turns, and name those that are measured."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.mapping_live_fit import Measured
from benchmarks.setup import NETWORKS
from envs.accuracy.agreement import agreement
from envs.accuracy.samples import Array, invented
from envs.graph.partition import partition_of
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngine, OnnxEngineFactory, SegmentedOnnxEngine
from envs.runtimes.serving.judging import outputs_of
from envs.spec import ConfigurationSpace, accelerator, local_computer, workload_of
from envs.spec.mapping import Mapping

#: Times are relative to the whole network here, measured in the same windows.
REFERENCE = "cpu_fp32"

#: How often a mapping changes the accelerator at most.
TRANSITIONS = 2

#: Parts of the mappings that show what groups cost, and how many groups at the beginning are parts
#: of their own: the first layers are the least like the others.
PARTS, FIRST = 8, 2

#: Clocks by name.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

#: Samples that INT8 is calibrated on, and compared on; speed does not depend on them.
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

    def agreement(self, mapping: Mapping) -> float:
        """Return the agreement of a mapping with FP32 on the samples, 1 for equal answers."""
        self.measure([mapping], 1)
        found = [
            outputs_of(self._engines[name], self.network, self.samples)
            for name in (REFERENCE, mapping.name)
        ]
        return agreement(*found, SAMPLES, synthetic=True).value

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
