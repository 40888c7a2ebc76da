"""Elastic kernels: equality, compilation, design space, and a model of interference.

    python -m benchmarks.elastic [--json PATH]

Kernels run on the processor only, which shows that results are equal and nothing of speed. Times
in the design space and on the timeline come from a model; nothing here ran on a GPU.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.elastic_mixes import ORIN, mixes, networks
from benchmarks.figures import Figure, figure, parser, report
from envs.kernels import ElasticKernel, KernelError, elastic, joined
from envs.kernels.coordinator import Coordinator
from envs.kernels.library import FILES, Problem, odd_problems, source_of
from envs.kernels.nvcc import Compiled, architectures, compile_kernels, find_nvcc
from envs.kernels.nvrtc import compile_with_nvrtc, nvrtc_architectures
from envs.kernels.processor import Processor
from envs.kernels.space import REASONS, KernelWork, design_space
from envs.kernels.timeline import POLICIES, Mix, simulate

TARGETS = (72, 87, 90)
COVERS = (1, 2, 4, 8, 256)
#: A critical request may take 10 % longer: half of it by sharing, half by waiting.
SLOWDOWN, WAIT_SHARE = 1.05, 0.05


def equality(made: dict[str, ElasticKernel]) -> list[Figure]:
    """Return how many ways of launching gave the bits of the original."""
    with tempfile.TemporaryDirectory() as folder:
        names = [*made, *(entry for each in made.values() for entry in each.entries.values())]
        built = Processor(joined(list(made.values())), names, Path(folder))
        results = [same for problem in odd_problems() for same in _compare(built, problem, made)]
    return [
        figure("kernels", len(made), "", f"== {len(FILES)}"),
        Figure("ways of launching, kernel by kernel", len(results), ""),
        figure("equal to the original, bit for bit", 100 * float(np.mean(results)), "%", "== 100"),
    ]


def _compare(built: Processor, problem: Problem, made: dict[str, ElasticKernel]) -> list[bool]:
    expected = problem.copied()
    built.run(problem.kernel, expected, problem.grid, problem.block)
    same = []
    widths = (1, 7, 32, 33, problem.threads - 1, problem.threads)
    for threads, blocks, length in product(widths, (1, 3), (1, 2, problem.blocks)):
        ends = range(0, problem.blocks, length)
        shards = [(first, min(first + length, problem.blocks)) for first in ends]
        arguments = problem.copied()
        shape = problem.grid, problem.block, shards, blocks, threads
        built.run_elastic(made[problem.kernel], arguments, *shape)
        written = np.asarray(arguments[problem.output]), np.asarray(expected[problem.output])
        same.append(written[0].tobytes() == written[1].tobytes())
    return same


def compilation(
    made: dict[str, ElasticKernel],
) -> tuple[list[Figure], dict[tuple[str, int], Compiled]]:
    """Return how many kernels nvcc compiles, and what they need."""
    if find_nvcc() is None:
        print("there is no nvcc here: kernels are not compiled, and nothing is simulated")
        return [], {}
    text = joined(list(made.values()))
    known = [each for each in TARGETS if each in architectures()]
    found = dict(compile_kernels(text, known).kernels)
    for target in sorted({*TARGETS} - {*known}):
        if target in nvrtc_architectures():
            found |= compile_with_nvrtc(text, target).kernels
            known.append(target)
        else:
            print(f"neither nvcc nor NVRTC here compiles for sm_{target}")
    entries = [entry for each in made.values() for entry in each.entries.values()]
    figures = [
        figure(
            f"elastic versions compiled for sm_{target}",
            sum((entry, target) in found for entry in entries),
            "",
            f"== {len(entries)}",
        )
        for target in sorted(known)
    ]
    more = [
        found[each.entries.get(1) or each.entries[0], 87].registers - found[name, 87].registers
        for name, each in made.items()
    ]
    figures.append(
        Figure("registers more than the original, sm_87, mean", float(np.mean(more)), "")
    )
    return figures, found


def space(small: list[KernelWork], large: list[KernelWork]) -> list[Figure]:
    """Return the size of the design space and how much of it is pruned."""
    pairs = [(work, critical) for work in large for critical in (None, *small)]
    budget_s = WAIT_SHARE * sum(each.duration_s for each in small)
    found = [design_space(ORIN, work, other, budget_s, SLOWDOWN) for work, other in pairs]
    points = sum(each.pruned.size for each in found)
    figures = [
        Figure("points of the design space, all pairs of kernels", points, ""),
        Figure(
            "pruned",
            100 * sum(each.pruned_share() * each.pruned.size for each in found) / points,
            "%",
        ),
    ]
    for reason in REASONS:
        count = sum(each.counts()[reason] for each in found)
        figures.append(Figure(f"pruned: {reason}", 100 * count / points, "%"))
    return figures


def interference(name: str, mix: Mix) -> list[Figure]:
    """Return latency and total throughput of every policy in the timeline model."""
    alone = simulate(ORIN, mix, "alone")
    request_s = sum(each.duration_s for each in mix.critical)
    network_s = sum(each.duration_s for each in mix.best_effort)
    figures = []
    for policy in POLICIES[1:]:
        wait_s = WAIT_SHARE * float(np.mean(alone.latencies_s))
        own = Coordinator(ORIN, mix.best_effort, SLOWDOWN, wait_s) if policy == "elastic" else None
        got = simulate(ORIN, mix, policy, own)
        p99 = np.percentile(got.latencies_s, 99) / np.percentile(alone.latencies_s, 99)
        goal = "<= 1.1" if policy == "elastic" and set(mix.errors) == {1.0} else ""
        done_s = len(mix.arrivals_s) * request_s + got.rounds * network_s
        label = f"model, {name}, {policy}"
        figures += [
            figure(f"{label}: critical p99 over alone", float(p99), "", goal),
            Figure(f"{label}: kernel time alone, done each second", done_s / got.span_s, "s/s"),
        ]
    return figures


def main() -> int:
    """Run the benchmark; the exit code is 1 if a figure misses its goal."""
    arguments = parser(__doc__).parse_args()
    try:
        made = {name: elastic(source_of(name), name, COVERS) for name in FILES}
        figures = equality(made)
        # Versions for the processor only are not compiled: nobody runs a block of one thread.
        wanted = {name: elastic(source_of(name), name) for name in FILES}
        compiled, resources = compilation(wanted)
        figures += compiled
        if resources:
            entries = {name: each.entries for name, each in wanted.items()}
            small, large = networks(resources, entries)
            figures += space(small, large)
            for name, mix in mixes(small, large).items():
                figures += interference(name, mix)
    except KernelError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
