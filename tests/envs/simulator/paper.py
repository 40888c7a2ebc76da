"""A device on paper, whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from envs.simulator.response import Response, respond
from envs.simulator.tables import COSTS, POSITIONS, Contexts

CUDA, TENSOR, DLA0, DLA1 = range(POSITIONS)
BATCHES = (1, 4)
#: Seconds of one batch of `BATCHES` on paper.
HOST, GPU, DLA = np.array([1e-3, 2e-3]), np.array([4e-3, 12e-3]), np.array([8e-3, 30e-3])
TAIL = 0.1


def paper(tenants: int = 1, rate_ips: float = np.inf, **changed: float) -> Contexts:
    """A board without contention, interference or power limit.

    A GPU batch keeps others out for 3/4 of its time.
    """
    table = np.zeros((len(COSTS), 1, tenants, POSITIONS, len(BATCHES)))

    def put(name: str, positions: list[int], values: npt.NDArray[np.float64]) -> None:
        table[COSTS.index(name)][:, :, positions] = values

    put("host_s", [CUDA, TENSOR, DLA0, DLA1], HOST)
    put("gpu_s", [TENSOR], GPU)
    put("gpu_s", [CUDA], 3 * GPU)
    put("exclusive_s", [TENSOR], 0.75 * GPU)
    put("exclusive_s", [CUDA], 0.75 * 3 * GPU)
    put("dla_s", [DLA0, DLA1], DLA)
    put("gpu_j", [CUDA, TENSOR], 5 * GPU)
    put("cv_j", [DLA0, DLA1], 2 * DLA)
    put("gpu_bytes", [CUDA, TENSOR], 1e9 * GPU)
    put("dla_bytes", [DLA0, DLA1], 1e9 * DLA)
    scalars = {
        "dram_byte_s": 1e11,
        "idle_gpu_w": 3.0,
        "idle_cv_w": 2.0,
        "idle_sys_w": 1.0,
        "max_power_w": 1e3,
        "byte_j": 2e-10,
        "tail": TAIL,
        "max_wait_s": 5e-3,
        "cores": 1.0,
        "poll_share": 0.0,
    }
    scalars |= dict.fromkeys(("capacity", "clock"), 1.0) | {"contention_threshold": 1e3}
    scalars |= dict.fromkeys(
        (
            "threads",
            "pipe_overlap",
            "interference",
            "launch_lock",
            "contention_slope",
            "contention_plateau",
        ),
        0.0,
    )
    scalars |= dict.fromkeys(("quantum_s", "threads_exponent", "other_gpu", "other_byte_s"), 0.0)
    scalars |= dict.fromkeys(("slice_s", "switch_s", "busy_soc_w", "busy_sys_w"), 0.0)
    values = {name: np.array([value]) for name, value in (scalars | changed).items()}
    return Contexts(
        batches=np.array(BATCHES, dtype=float),
        table=table,
        swap_s=np.zeros((1, tenants)),
        mapped_core=np.zeros((1, 0), dtype=np.int64),
        part_share=np.zeros((1, tenants, 0, 2, len(BATCHES))),
        rate_ips=np.full((1, tenants), rate_ips),
        best_effort=np.zeros((1, tenants), dtype=bool),
        segment_s=np.zeros(1),
        **values,
    )


def ask(contexts: Contexts, *slots: tuple[int, int, int], tenant: int = 0) -> Response:
    """One row: (position, instances, level of the batch) each, all of one tenant."""
    instances = np.zeros((1, contexts.tenants, POSITIONS), dtype=np.int64)
    levels = np.zeros_like(instances)
    for position, count, level in slots:
        instances[0, tenant, position], levels[0, tenant, position] = count, level
    return respond(contexts, np.zeros(1, dtype=np.int64), instances, levels)


def engine(host_s: float, gpu_s: float, dla_s: float = 0.0, turns: float = 0.0) -> dict[str, float]:
    """The costs of one batch that keeps others out for all of its GPU time."""
    return {
        "host_s": host_s, "gpu_s": gpu_s, "exclusive_s": gpu_s, "dla_s": dla_s, "turns": turns,
    }  # fmt: skip


def with_engines(
    engines: dict[int, dict[str, float]], tenants: int = 1, **changed: float
) -> Contexts:
    """The board on paper with these costs of a batch by position, whatever its size."""
    contexts = paper(tenants, **changed)
    table = np.zeros_like(contexts.table)
    for position, costs in engines.items():
        for name, value in costs.items():
            table[COSTS.index(name), :, :, position] = value
    return replace(contexts, table=table)
