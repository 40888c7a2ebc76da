"""The answer for one person: python -m tuner.tune --network my.onnx --p99-ms 50

Uses a policy bundle on the live runtime of this computer and prints the configuration, and what it measured, against the default.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from envs.arrays import Placements
from envs.errors import NoFeasibleConfiguration, OptionError, StorageError
from envs.graph.layer_table import LayerTable
from envs.graph.layers import read_network_and_layers
from envs.problems.problem import Problem
from envs.problems.world import starting_row
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.protocol import Runtime, check_objective, try_configuration
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.simulator.device_model import model_for
from envs.spec.device import local_computer
from envs.spec.measurement import Failure, Measurement, Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import fair_weights, workload_of
from envs.telemetry.sensors import probe_sensor
from tuner.cli import run_command
from tuner.console import progress_bar, table
from tuner.options import SpaceOptions, cache_folder, existing, servable, shipped
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Tuner
from tuner.tuning import Answer, tune


@dataclass
class TuneCommand:
    """Options of python -m tuner.tune.

    Attributes:
        network: an ONNX file, or a list of them, one a tenant. p99_ms: a limit, or one for each tenant. power_w: a limit.
        rates_ips: Poisson arrivals of each tenant; None for a closed loop. weights: what an inference of each tenant counts; its work, if not given.
        space: what may be chosen. bundle: the policy; by default the one in checkpoints/.
        measurements: at most this many, the confirming one included. window_s: of each.
        out: a JSON file for the answer.
    """

    network: Any = None
    p99_ms: Any = None
    power_w: Optional[float] = None
    rates_ips: Optional[list[float]] = None
    weights: Optional[list[float]] = None
    bundle: Optional[str] = None
    measurements: int = 8
    window_s: float = 3.0
    out: Optional[str] = None
    space: SpaceOptions = field(default_factory=SpaceOptions)
    serving: ServingOptions = field(default_factory=ServingOptions)


def main(options: TuneCommand) -> int:
    if not options.network:
        raise OptionError("network is missing: give an ONNX file, as in --network my.onnx")
    if options.measurements < 3:
        raise OptionError(
            f"measurements={options.measurements} must be at least 3: the default, one more, and the confirming one"
        )
    if not options.window_s > 0:
        raise OptionError(f"window_s={options.window_s} must be above zero")
    paths = [
        str(path)
        for path in (options.network if isinstance(options.network, list) else [options.network])
    ]
    objective = Objective.from_dict(
        {"p99_ms": options.p99_ms, "power_w": options.power_w}, len(paths)
    )
    bundle = load_bundle(
        Path(options.bundle) if options.bundle else shipped("checkpoints") / "reference.bundle"
    )
    read = [read_network_and_layers(path) for path in existing(paths)]
    networks, layers = [network for network, _ in read], tuple(table for _, table in read)
    space = ConfigurationSpace(
        local_computer(),
        workload_of(networks, options.rates_ips, options.weights or fair_weights(networks)),
        options.space.max_instances,
        tuple(options.space.batches),
        options.space.max_total_instances,
    )
    factory = OnnxEngineFactory(space, [Path(path) for path in paths], cache_folder())
    problem = problem_of(space, objective, servable(space, factory.prepare()), layers)
    tuner = LearnedTuner(bundle, problem)
    print(
        f"tuning {', '.join(space.workload.names)} on {space.device.name} for {objective.describe(space.workload.names)}"
    )
    began_s = time.perf_counter()
    with ServingRuntime(space, factory, probe_sensor(), options.serving) as runtime:
        check_objective(runtime, objective)
        answer = search(runtime, tuner, problem, options)
    print_answer(problem, answer, time.perf_counter() - began_s)
    if options.out:
        write_answer(Path(options.out), problem, answer)
    if answer.violation > 0:
        raise NoFeasibleConfiguration(why_not(problem, answer))
    return 0


def why_not(problem: Problem, answer: Answer) -> str:
    """Why the answer keeps the limits not: nothing does, or what seemed to did not when it was measured again."""
    limits = problem.objective.describe(problem.space.workload.names)
    once = [
        configuration
        for configuration, outcome in answer.tried[: answer.searched]
        if problem.judge(outcome)[1] <= 0
    ]
    if once:
        kept = "; ".join(dict.fromkeys(map(problem.space.describe, once)))
        return f"nothing kept the limits ({limits}) when it was measured again; in one window alone these did: {kept}"
    return f"no configuration that was measured meets the limits ({limits}); the least violating one is given above"


def problem_of(
    space: ConfigurationSpace,
    objective: Objective,
    possible: Placements,
    layers: tuple[LayerTable, ...],
) -> Problem:
    """To choose among what is possible here, [N, T, A, 2], from the default configuration on."""
    start = starting_row(space, possible, possible[..., 0].sum(axis=(1, 2)) == 0)
    return Problem(
        space,
        possible,
        objective,
        Configuration.of(possible[start]),
        model=model_for(space, layers),
    )


def search(runtime: Runtime, tuner: Tuner, problem: Problem, options: TuneCommand) -> Answer:
    """`tuner.tuning.tune` with a bar."""
    with progress_bar("measuring", options.measurements) as advance:

        def measure(configuration: Configuration) -> Outcome:
            outcome = try_configuration(runtime, configuration, options.window_s)
            advance(problem.space.describe(configuration))
            return outcome

        return tune(tuner, problem, measure, options.measurements)


def print_answer(problem: Problem, answer: Answer, elapsed_s: float) -> None:
    """The measurements as a table, then the answer in words."""
    names = problem.space.workload.names
    rows = []
    for number, (configuration, outcome) in enumerate(answer.tried, start=1):
        note = "confirms" if number > answer.searched else "default" if number == 1 else ""
        rows.append(
            [str(number), problem.space.describe(configuration), *cells(problem, outcome), note]
        )
    table(
        [
            "#",
            "configuration (instances x batch)",
            *(f"{name} [1/s]" for name in names),
            *(f"p99 {name} [ms]" for name in names),
            "power [W]",
            "limits",
            "",
        ],
        rows,
    )
    best, default = answer.outcome, answer.tried[0][1]
    score, start = problem.judge(best)[0], problem.judge(default)[0]
    print(f"answer: {problem.space.describe(answer.configuration)}")
    if isinstance(best, Measurement):
        for name, tenant in zip(names, best.tenants, strict=True):
            print(f"  {name}: {tenant.throughput_ips:.1f} inferences/s, p99 {tenant.p99_ms:.1f} ms")
        print(f"  confirmed by a second window, {best.origin.value} on this computer")
        if start > 0:
            weighted = " (weighted throughput)" if len(names) > 1 else ""
            print(f"  {score / start:.2f} times the default{weighted}")
    disturbed = sum(
        isinstance(outcome, Measurement) and outcome.disturbed for _, outcome in answer.tried
    )
    if disturbed:
        print(
            f"  caution: something else used the computer in {disturbed} of {len(answer.tried)} windows"
        )
    print(f"  {len(answer.tried)} measurements, {elapsed_s:.0f} s")


def cells(problem: Problem, outcome: Outcome) -> list[str]:
    """Throughput and p99 of each tenant, power, and whether the limits are kept."""
    if isinstance(outcome, Failure):
        return [
            outcome.kind.value,
            *("-" for _ in 2 * problem.space.workload.names[1:]),
            "-",
            "-",
            "failed",
        ]
    power = f"{outcome.power_w:.1f}" if outcome.power_w > 0 else "-"
    kept = "kept" if problem.judge(outcome)[1] <= 0 else "broken"
    return [
        *(f"{tenant.throughput_ips:.1f}" for tenant in outcome.tenants),
        *(f"{tenant.p99_ms:.1f}" for tenant in outcome.tenants),
        power,
        kept,
    ]


def write_answer(path: Path, problem: Problem, answer: Answer) -> None:
    """The answer as JSON."""
    best = answer.outcome
    content = {
        "configuration": [
            {
                "tenant": problem.space.workload.names[tenant],
                "accelerator": problem.space.device.accelerator_names[place],
                "instances": n,
                "batch": b,
            }
            for tenant, place, n, b in answer.configuration.slots()
        ],
        "limits_kept": answer.violation <= 0,
        "throughput_ips": best.throughput_ips.tolist() if isinstance(best, Measurement) else None,
        "p99_ms": best.p99_ms.tolist() if isinstance(best, Measurement) else None,
        "measurements": len(answer.tried),
        "origin": best.origin.value if isinstance(best, Measurement) else None,
    }
    try:
        path.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


if __name__ == "__main__":
    run_command("tune", TuneCommand, main)
