"""Measure the cost of the serving runtime.

Compares its throughput with a bare loop over the same sessions and threads, in pairs.

python -m benchmarks.overhead
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import network_files
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngine, OnnxEngineFactory
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationSpace, Network, local_computer, workload_of
from envs.telemetry.none import NoSensor
from envs.testing.engines import build_every
from tuner.console import progress_bar
from tuner.folders import cache_folder

#: (instances, batch) on cpu_fp32 and on cpu_int8: one instance, several, both accelerators, small
#: and large batches.
CONFIGURATIONS = (
    ((1, 1), (0, 0)),
    ((0, 0), (1, 1)),
    ((0, 0), (2, 1)),
    ((0, 0), (2, 8)),
    ((1, 4), (1, 4)),
    ((2, 2), (2, 2)),
)


class KeepingFactory(OnnxEngineFactory):
    """Remember the engines that serve, so that the bare loop runs the same sessions."""

    engines: list[tuple[OnnxEngine, int]]

    def load(self, tenant: int, accelerator: int, threads: int) -> OnnxEngine:
        """Load an engine and remember it."""
        engine = super().load(tenant, accelerator, threads)
        self.engines.append((engine, accelerator))
        return engine


def bare_loop_ips(
    engines: list[tuple[OnnxEngine, int]],
    batches: dict[int, int],
    network: Network,
    window_s: float,
) -> float:
    """Return the images per second of one thread a session that does nothing but run.

    A batch counts by its share inside the window.
    """
    rng = np.random.default_rng(0)
    done: list[list[tuple[float, float, int]]] = [[] for _ in engines]
    stop = threading.Event()

    def run(position: int) -> None:
        engine, accelerator = engines[position]
        size = batches[accelerator]
        inputs = [
            rng.standard_normal((size, *spec.shape)).astype(spec.dtype) for spec in network.inputs
        ]
        while not stop.is_set():
            began_s = time.perf_counter()
            engine.run(inputs)
            done[position].append((began_s, time.perf_counter(), size))

    threads = [threading.Thread(target=run, args=(position,)) for position in range(len(engines))]
    for thread in threads:
        thread.start()
    while not all(done):
        time.sleep(0.005)
    start_s = time.perf_counter()
    time.sleep(window_s)
    end_s = time.perf_counter()
    stop.set()
    for thread in threads:
        thread.join()
    return (
        sum(
            size * max(0.0, min(end, end_s) - max(begin, start_s)) / (end - begin)
            for log in done
            for begin, end, size in log
        )
        / window_s
    )


def ratios(path: Path, pairs: int, window_s: float) -> list[tuple[str, list[float]]]:
    """Return runtime over bare loop for each configuration, pair by pair."""
    network = read_network(path)
    space = ConfigurationSpace(local_computer(), workload_of([network]), 4, (1, 2, 4, 8))
    found = []
    with progress_bar(network.name, pairs * len(CONFIGURATIONS)) as advance:
        for placements in CONFIGURATIONS:
            factory = KeepingFactory(space, [path], cache_folder())
            factory.engines = []
            build_every(factory, space)
            configuration = Configuration((placements,))
            with ServingRuntime(space, factory, NoSensor(), ServingOptions()) as runtime:
                runtime.apply(configuration)
                batches = {accelerator: batch for accelerator, (_, batch) in enumerate(placements)}
                pair = []
                # The bare loop's window is as long as the runtime's, so that both hold as many
                # batches.
                length_s = runtime.measure(window_s).window_s
                for turn in range(pairs):
                    both = {}
                    # They take turns in going first, or a drift would favour one of them.
                    for name in ("runtime", "bare") if turn % 2 else ("bare", "runtime"):
                        if name == "bare":
                            both[name] = bare_loop_ips(factory.engines, batches, network, length_s)
                        else:
                            both[name] = float(runtime.measure(length_s).throughput_ips[0])
                    pair.append(both["runtime"] / both["bare"])
                    advance()
                found.append((space.describe(configuration), pair))
    return found


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--networks", nargs="+", default=["resnet50", "mobilenet_v2"], help="names or files"
    )
    arguments.add_argument("--pairs", type=int, default=7)
    arguments.add_argument("--window", type=float, default=2.0, help="seconds")
    given = arguments.parse_args()
    figures: list[Figure] = []
    everything: list[float] = []
    for path in network_files(given.networks):
        for name, pair in ratios(path, given.pairs, given.window):
            everything += pair
            figures.append(
                figure(
                    f"{name}: runtime over bare loop, median of {len(pair)} pairs",
                    100 * float(np.median(pair)),
                    "%",
                    ">= 97",
                )
            )
    figures.append(
        figure(
            "all: runtime over bare loop, median", 100 * float(np.median(everything)), "%", ">= 97"
        )
    )
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
