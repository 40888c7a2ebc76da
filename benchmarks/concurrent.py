"""Compare the device model with the claims of a paper on running several networks at once.

The paper is Hao, Subedi, Ramaswamy and Kim, "Reaching for the Sky" (ACM TOIT 2023), with "AI
multi-tenancy on edge" (arXiv 2107.12486): batching, several copies at once, and CPU, GPU and Edge
TPUs together. Its networks and frameworks are not published, so that each claim is asked for all
image classifiers of the catalogue and several frameworks, and the tables say what it depends on.
Nothing was fitted to the claims. Simulated: none of it ran on a board.

Example:
    python -m benchmarks.concurrent
"""

from __future__ import annotations

import itertools
import sys

import numpy as np

from benchmarks.concurrent_beside import beside_figures
from benchmarks.concurrent_settings import (
    BATCHES,
    CLASSIFIERS,
    FP16,
    INT8,
    PROCESSES,
    THREADS,
    Framework,
    answers,
    gpu_s,
    model_of,
    rates,
    tx2,
    xavier_nx,
)
from benchmarks.figures import Figure, figure, parser, report
from envs.catalog.edge_tpus import is_profiled
from tuner.console import table

#: Copies of a network at once: as many processes as a TX2 or a Xavier NX has cores.
COPIES = (1, 2, 3, 4, 5, 6)

#: The gain that the paper claims for batching on a Xavier NX; it names neither the framework, nor
#: the precision, nor the networks.
BATCHING = 2.4

#: A copy that keeps the GPU busy for less than this share of the time leaves it idle.
IDLE_BUSY = 1 / 3

#: Networks with published times on an Edge TPU and layers in the catalogue.
ON_TPU = ("mobilenet_v2", "ssd_mobilenet_v1", "inception_v4")


def batching() -> list[Figure]:
    """Return the gain of the best batch over batch 1 on a Xavier NX (claim: more than 2.4)."""
    found, lines = [], []
    for framework in (FP16, INT8, PROCESSES):
        machine = xavier_nx(framework)
        gains = []
        for network in CLASSIFIERS:
            by_batch = rates(machine, framework, network, [(1, batch) for batch in BATCHES])
            best = int(by_batch.argmax())
            gains.append(by_batch[best] / by_batch[0])
            lines.append(
                [
                    framework.label,
                    network,
                    f"{by_batch[0]:.0f}",
                    f"{100 * gpu_s(machine, framework, network) * by_batch[0]:.0f}",
                    str(BATCHES[best]),
                    f"{gains[-1]:.2f}",
                ]
            )
        label = f"batching on Xavier NX, {framework.label}"
        found += [
            figure(
                f"{label}: median gain over classifiers", np.median(gains), "x", f"> {BATCHING}"
            ),
            figure(f"{label}: smallest gain", min(gains), "x"),
            figure(f"{label}: largest gain", max(gains), "x"),
            figure(
                f"{label}: classifiers that gain more", sum(np.array(gains) > BATCHING), "of 12"
            ),
        ]
    print("Xavier NX, 15 W: the best batch over batch 1, one instance")
    table(["framework", "network", "batch 1 [1/s]", "GPU busy [%]", "best batch", "gain"], lines)
    return found


def copies() -> list[Figure]:
    """Return the gain of several copies at batch 1 over one (claims: up to 3, and 3.3 to 3.8).

    The claims speak of frameworks that leave the GPU idle, so that the goal is for networks of
    which one copy keeps it busy for less than `IDLE_BUSY` of the time.
    """
    found, lines = [], []
    for board, framework in (
        *itertools.product(("TX2", "Xavier NX"), (PROCESSES, THREADS)),
        *itertools.product(("Xavier NX",), (FP16, INT8)),
    ):
        machine = (tx2 if board == "TX2" else xavier_nx)(framework)
        gains, busy = [], []
        for network in CLASSIFIERS:
            by_count = rates(machine, framework, network, [(count, 1) for count in COPIES])
            best = int(by_count.argmax())
            gains.append(by_count[best] / by_count[0])
            busy.append(gpu_s(machine, framework, network) * by_count[0])
            lines.append(
                [board, framework.label, network, f"{by_count[0]:.0f}", f"{100 * busy[-1]:.0f}",
                 str(COPIES[best]), f"{gains[-1]:.2f}"]
            )  # fmt: skip
        label = f"copies at once on {board}, {framework.label}"
        goal = "<= 1.2" if framework in (FP16, INT8) else ""
        found += [
            figure(f"{label}: median gain over classifiers", float(np.median(gains)), "x", goal),
            figure(f"{label}: largest gain", max(gains), "x"),
        ]
        idle = [gain for gain, used in zip(gains, busy, strict=True) if used < IDLE_BUSY]
        if idle:
            goal = ">= 3" if framework is PROCESSES else ""
            found += [
                figure(f"{label}: median gain where the GPU is idle", np.median(idle), "x", goal),
                figure(f"{label}: classifiers where the GPU is idle", len(idle), "of 12"),
            ]
    print("Several copies of a network at batch 1 over one copy, up to six")
    table(
        ["board", "framework", "network", "one copy [1/s]", "GPU busy [%]", "copies", "gain"], lines
    )
    return found


def together() -> list[Figure]:
    """Return the gain of all accelerators over one Edge TPU that swaps (claim: up to 10)."""
    found, lines = [], []
    for framework, edge_tpus in itertools.product((PROCESSES, FP16), (1, 2)):
        gains = []
        for pair in itertools.combinations(ON_TPU, 2):
            gain, text = _best_placement(framework, pair, edge_tpus)
            gains.append(gain)
            lines.append([framework.label, str(edge_tpus), " + ".join(pair), text, f"{gain:.1f}"])
        label = f"CPU, GPU, Edge TPUs ({edge_tpus}) on Xavier NX over one, {framework.label}"
        found += [
            figure(f"{label}: largest gain", max(gains), "x", ">= 10"),
            figure(f"{label}: smallest gain", min(gains), "x"),
        ]
    print("Two networks on all accelerators of a Xavier NX over the two on one Edge TPU")
    table(["framework", "Edge TPUs", "networks", "best placement", "gain of each"], lines)
    return found


def _best_placement(
    framework: Framework, pair: tuple[str, str], edge_tpus: int
) -> tuple[float, str]:
    """Return the largest gain that both networks have at once, as a geometric mean, and where.

    Every set of places is tried for each: the GPU with a batch of 8, the cores in INT8 at a batch
    of 1, and each Edge TPU.
    """
    assert all(map(is_profiled, pair))
    names = [framework.accelerator, "cpu_int8", *(f"edgetpu{n}" for n in range(edge_tpus))]
    machine = xavier_nx(framework)
    model = model_of(machine.with_cores_as_accelerators(), names, pair)
    sizes = np.array([(1, 8), (1, 1), *[(1, 1)] * edge_tpus], dtype=np.int16)
    sets = [each for each in itertools.product((0, 1), repeat=len(names)) if any(each)]
    chosen = np.array(list(itertools.product(sets, repeat=2)), dtype=np.int16)
    placements = chosen[..., None] * sizes
    rate = answers(model, framework, placements).throughput_ips
    swapping = (chosen == np.eye(len(names), dtype=np.int16)[2]).all(axis=(1, 2))
    gains = rate / rate[swapping]
    # A geometric mean favours neither network.
    mean = np.sqrt(gains.prod(axis=1))
    best = int(mean.argmax())
    where = [
        " + ".join(name for name, used in zip(names, each, strict=True) if used)
        for each in chosen[best]
    ]
    text = ", ".join(
        f"{name} on {place} ({gain:.1f})"
        for name, place, gain in zip(pair, where, gains[best], strict=True)
    )
    return float(mean[best]), text


#: Each claim, the parts of the names of the figures that answer it, and what the answer depends on.
CLAIMS = (
    (
        "batching, Xavier NX: more than 2.4",
        "batching on Xavier NX",
        "the framework, the precision and the networks, none of which the paper's abstract names:"
        " TensorRT keeps the GPU busy at batch 1 already, so that a batch saves only kernels that"
        " are too small and weights that are read again; eager PyTorch leaves it idle at batch 1",
    ),
    (
        "copies at once on a TX2: 3.3 to 3.8; on GPUs: up to 3",
        "copies at once",
        "the time in which the host leaves the GPU idle, at most 1 over the share in which one copy"
        " keeps it busy; processes: threads of one interpreter gain half; next to nothing under"
        " TensorRT with CUDA graphs, as published for an Orin Nano (0.97 to 1.06)",
    ),
    (
        "CPU, GPU and Edge TPUs: up to 10 over one Edge TPU",
        "CPU, GPU, Edge TPUs",
        "the swaps of the one Edge TPU, which small networks pay beside large ones, and the"
        " framework on the GPU",
    ),
)


def claims(figures: list[Figure]) -> None:
    """Print each claim of the paper beside what the model says."""
    lines = []
    for claim, start, depends in CLAIMS:
        mine = [each for each in figures if each.name.startswith(start) and each.goal]
        said = "; ".join(
            f"{each.name.removeprefix(start).strip(' ,')} {each.value:.1f}"
            f" ({'holds' if each.holds else 'misses'} {each.goal})"
            for each in mine
        )
        lines.append([claim, said, depends])
    print("The paper's claims")
    table(["claim", "model", "depends on"], lines)


def main() -> int:
    """Print the tables and the figures."""
    arguments = parser(__doc__).parse_args()
    figures = [*batching(), *copies(), *together(), *beside_figures()]
    claims(figures)
    return report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
