"""Does the bundle that was trained in the model serve this very computer? Measures a full grid live, then lets the policy find its way, live.

For each network: every configuration of a space is measured once; limits are drawn from what that gave; for each of them the policy has 8
live measurements. What it answers with is compared with the best of the grid under the same limits.

python -m tuner.networks resnet50 squeezenet1_1
python -m benchmarks.live_grid
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from envs.configuration import Configuration
from envs.layers import read_layers
from envs.measurement import MeasurementBatch, Outcome
from envs.objective import Objective
from envs.objective_draw import LimitRange, draw_objectives, uniforms_per_draw
from envs.runtimes.onnxruntime import onnxruntime_runtime
from envs.runtimes.protocol import Runtime, try_configuration
from envs.simulator.device_model import model_for
from tuner.console import progress_bar, table
from tuner.options import DeviceOptions, SpaceOptions, WorkloadOptions, cache_folder, live_space
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.oracle import best_scores
from tuner.search.protocol import Problem


def measured_grid(runtime: Runtime, window_s: float, name: str) -> list[Outcome]:
    """Every configuration of the runtime's space, once."""
    outcomes = []
    with progress_bar(f"grid of {name}", len(runtime.space.catalogue)) as advance:
        for row in runtime.space.catalogue:
            outcomes.append(try_configuration(runtime, Configuration.of(row), window_s))
            advance(runtime.space.describe(Configuration.of(row)))
    return outcomes


def answered(runtime: Runtime, problem: Problem, bundle: Path, window_s: float, measurements: int) -> tuple[float, int]:
    """Highest throughput that kept the limits within some live measurements, and how many broke them."""
    tuner, best, broke = LearnedTuner(load_bundle(bundle), problem), 0.0, 0
    for _ in range(measurements):
        configuration = tuner.ask()
        outcome = try_configuration(runtime, configuration, window_s)
        tuner.tell(configuration, outcome)
        score, violation = problem.judge(outcome)
        best, broke = (max(best, score), broke) if violation <= 0 else (best, broke + 1)
    return best, broke


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", default=["networks/resnet50.onnx", "networks/squeezenet1_1.onnx"])
    arguments.add_argument("--bundle", type=Path, default=Path("checkpoints/reference.bundle"))
    arguments.add_argument("--instances", type=int, default=3)
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--limits", type=int, default=4)
    arguments.add_argument("--measurements", type=int, default=8)
    arguments.add_argument("--window", type=float, default=1.0, help="seconds of each measurement")
    given = arguments.parse_args()
    figures: list[Figure] = []
    rows = []
    for path in given.networks:
        space = live_space(DeviceOptions(), WorkloadOptions([path]), SpaceOptions(given.instances, list(given.batches)))
        name = space.workload.names[0]
        with onnxruntime_runtime(space, [Path(path)], cache_folder()) as runtime:
            batch = MeasurementBatch.of(measured_grid(runtime, given.window, name), 1)
            limits = draw_objectives(LimitRange.of(batch), np.random.default_rng(0).random((given.limits, uniforms_per_draw(1))), "held_out")
            _, best, exists = best_scores(batch, np.ones(1), limits)
            shares, broken = [], 0
            for index in np.flatnonzero(exists):
                asked = Objective(tuple(limits.p99_ms[index]), float("inf"))
                problem = Problem(space, space.catalogue, asked, space.default(), model=model_for(space, (read_layers(path),)))
                score, broke = answered(runtime, problem, given.bundle, given.window, given.measurements)
                shares.append(score / best[index])
                broken += broke
                rows.append([name, f"{limits.p99_ms[index, 0]:.1f}", f"{best[index]:.1f}", f"{score:.1f}", f"{shares[-1]:.1%}", str(broke)])
        figures.append(figure(f"{name}: live answer over the best of {len(batch)} live configurations, mean", 100 * float(np.mean(shares)), "%", ">= 90"))
        figures.append(figure(f"{name}: the same, worst of {len(shares)} limits", 100 * min(shares), "%"))
        figures.append(figure(f"{name}: live measurements that broke a limit", 100 * broken / (len(shares) * given.measurements), "%"))
    table(["network", "p99 limit [ms]", "best of the grid [1/s]", "answer [1/s]", "share", "broke"], rows)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
