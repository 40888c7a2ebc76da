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
from envs.spec import Kind
from tuner.console import exit_code, progress_bar, table
from tuner.evaluation.cases import Case
from tuner.evaluation.simulated import simulated_cases

#: The networks that were held out when the shares below were counted.
NETWORKS = [
    *("resnet50", "resnet152", "squeezenet1_1", "vgg11", "yolov5s_672", "mobilenet_v3_large"),
    *("retinanet_resnext50", "ssd_resnet34", "resnet34_1280x768"),
]

#: Shares [%] and a mean of 500 problems of the same draw on commit 01eced5, with `share_gain` 0.6.
BEFORE = {
    "more than one GPU instance": 17.5,
    "a DLA": 77.8,
    "no GPU at all": 52.1,
    "a batch above 1 on the GPU": 37.7,
    "GPU instances": 0.70,
}


def kinds(case: Case) -> dict[str, float]:
    """Return what the best configuration of a case has, 1 or 0, and its mean batch on the GPU."""
    accelerators = case.problem.space.device.accelerators
    placements = case.best.configuration.array()
    on_gpu = [each.on_gpu for each in accelerators]
    on_dla = [each.kind is Kind.DLA for each in accelerators]
    instances, batches = placements[..., 0], placements[..., 1]
    gpu = int(instances[:, on_gpu].sum())
    return {
        "more than one GPU instance": float(gpu > 1),
        "a DLA": float(instances[:, on_dla].sum() > 0),
        "no GPU at all": float(gpu == 0),
        "a batch above 1 on the GPU": float(batches[:, on_gpu].max(initial=0) > 1),
        "GPU instances": float(gpu),
    }


def counted(count: int, seed: int = 1000) -> dict[str, float]:
    """Return shares [%], and the mean number of GPU instances, over the cases with an answer.

    Raises:
        OptionError: none of them has one.
    """
    cases = simulated_cases(DrawOptions(networks=NETWORKS), count, seed)
    found = []
    with progress_bar("best configurations", count) as advance:
        for number in range(count):
            case = cases[number]
            if case.best.exists:
                found.append(kinds(case))
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
    arguments.add_argument("--cases", type=int, default=500)
    given = arguments.parse_args()
    after = counted(given.cases)
    print(f"Best configurations of {given.cases} problems (simulated)")
    table(
        ["the best configuration has", "before", "now"],
        [
            [name, f"{BEFORE.get(name, np.nan):.1f}", f"{value:.1f}"]
            for name, value in after.items()
        ],
    )
    figures: list[Figure] = []
    for name, value in after.items():
        unit = "" if name == "GPU instances" else "%"
        figures.append(
            figure(f"best configurations with {name}: before", BEFORE.get(name, np.nan), unit)
        )
        figures.append(figure(f"best configurations with {name}: now", value, unit))
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(exit_code(main))
