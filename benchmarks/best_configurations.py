"""Say what the best configurations of drawn problems look like: instances, DLAs, batches.

The problems are those of `benchmarks.transfer`: held-out boards, networks and bands of limits,
drawn in the device model (simulated). What the best configurations were before the model knew how
engines share a GPU stands beside it.

python -m benchmarks.best_configurations [--cases N]
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from envs.errors import OptionError
from envs.problems.draw_options import DrawOptions
from envs.spec import Kind, verdict_of
from tuner.console import exit_code, progress_bar, table
from tuner.evaluation.cases import Case
from tuner.evaluation.simulated import simulated_cases

#: The networks that were held out when the shares below were counted.
NETWORKS = [
    *("resnet50", "resnet152", "squeezenet1_1", "vgg11", "yolov5s_672", "mobilenet_v3_large"),
    *("retinanet_resnext50", "ssd_resnet34", "resnet34_1280x768"),
]

#: Boards that problems are drawn from: those held out, and one without a DLA.
BOARDS: dict[str, list[str] | None] = {"held-out boards": None, "Orin Nano": ["orin_nano_8"]}

#: What each column counts: shares [%], and the mean number of GPU instances at the end.
COUNTED = (
    "more than one GPU instance",
    "GPU instances that gain 5 % over one",
    "GPU instances that gain 10 % over one",
    "a DLA",
    "no GPU at all",
    "a batch above 1 on the GPU",
    "GPU instances",
)

#: The same of 100 problems of the same draws on commit 01eced5, with `share_gain` at 0.6.
BEFORE = {
    "held-out boards": dict(zip(COUNTED, (18.2, 6.5, 3.9, 75.3, 42.9, 45.5, 0.82), strict=True)),
    "Orin Nano": dict(zip(COUNTED, (33.8, 19.1, 16.2, 0.0, 0.0, 70.6, 1.34), strict=True)),
}


def kinds(case: Case, gain: float) -> dict[str, float]:
    """Return what the best configuration of a case has, 1 or 0, and how many GPU instances.

    Args:
        case: one problem.
        gain: of the best configuration, see `second_gain`.
    """
    accelerators = case.problem.space.device.accelerators
    placements = case.best.configuration.array()
    on_gpu = [each.on_gpu for each in accelerators]
    on_dla = [each.kind is Kind.DLA for each in accelerators]
    instances, batches = placements[..., 0], placements[..., 1]
    gpu = int(instances[:, on_gpu].sum())
    values = (
        gpu > 1,
        gain >= 1.05,
        gain >= 1.10,
        instances[:, on_dla].sum() > 0,
        gpu == 0,
        batches[:, on_gpu].max(initial=0) > 1,
        gpu,
    )
    return dict(zip(COUNTED, map(float, values), strict=True))


def second_gain(case: Case) -> float:
    """Return the score of the best configuration over the best with at most one GPU instance."""
    assert case.truth is not None
    placements = case.problem.candidates
    on_gpu = [each.on_gpu for each in case.problem.space.device.accelerators]
    few = placements[placements[:, :, on_gpu, 0].sum(axis=(1, 2)) <= 1]
    weights = np.array(case.problem.space.workload.weights)
    verdicts = verdict_of(case.truth(few), weights, case.problem.objective)
    kept = verdicts.score[verdicts.violation <= 0]
    return case.best.score / float(kept.max()) if len(kept) else np.inf


def counted(boards: list[str] | None, count: int, seed: int = 1000) -> dict[str, float]:
    """Return shares [%], and the mean number of GPU instances, over the cases with an answer.

    Raises:
        OptionError: no problem is drawn, or none of them has one.
    """
    if count < 1:
        raise OptionError(f"--cases={count} must be at least 1")
    cases = simulated_cases(DrawOptions(networks=NETWORKS, boards=boards), count, seed)
    found = []
    with progress_bar("best configurations", count) as advance:
        for number in range(count):
            case = cases[number]
            if case.best.exists:
                found.append(kinds(case, second_gain(case)))
            advance(case.name)
    if not found:
        raise OptionError(f"--cases={count}: no configuration keeps the limits: draw more problems")
    return {
        name: float(np.mean([each[name] for each in found]))
        * (1 if name == "GPU instances" else 100)
        for name in found[0]
    }


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--cases", type=int, default=100)
    given = arguments.parse_args()
    figures: list[Figure] = []
    for where, boards in BOARDS.items():
        before, now = BEFORE[where], counted(boards, given.cases)
        print(f"Best configurations of {given.cases} problems on {where} (simulated)")
        rows = [[name, f"{before.get(name, np.nan):.1f}", f"{now[name]:.1f}"] for name in now]
        table(["the best configuration has", "before [%]", "now [%]"], rows)
        for name, value in now.items():
            unit = "" if name == "GPU instances" else "%"
            label = f"{where}, best configurations with {name}"
            figures.append(figure(f"{label}: before", before.get(name, np.nan), unit))
            figures.append(figure(f"{label}: now", value, unit))
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(exit_code(main))
