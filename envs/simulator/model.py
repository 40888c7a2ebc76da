"""The device model: what configurations give. Pure, batched, without randomness; `noise` adds what a window of measuring would.

Letters: R rows (a context and a configuration each), T tenants, P = 4 positions (see `tables`), S = T x P slots.

GPU. Instances share it as processor sharing does: the GPU phase of every batch is stretched by one factor, such that what they use together
is what there is. While an instance copies, launches or waits, and where its kernels leave SMs idle, others run.
DLA. One batch at a time, first come first served: a cycle is never shorter than the core's whole round.
DRAM. Beyond a threshold of traffic accelerators slow each other in proportion, up to a plateau (the shape of PCCS, MICRO 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.simulator.parameters import FloatArray
from envs.simulator.tables import FEATURES, Contexts

#: Rows that are computed at a time: few enough that their arrays stay in the cache.
CHUNK = 4096

#: Newton steps for the stretch; the third moves it by less than 0.1 % (a test compares with bisection).
STEPS = 3

#: A slot that serves less than this share of a tenant's requests does not show in its 99th percentile.
SEEN_SHARE = 0.01

#: Throughput that is left where power would exceed the module's limit falls with this power of the excess: clocks go down, and voltage with them.
THROTTLE_EXPONENT = 0.6


@dataclass(frozen=True)
class Conditions:
    """What may change from window to window, [R] each or a number.

    Attributes:
        clock: of GPU and DLA, relative to the power mode's (below 1 when hot). other_gpu: share of the GPU that something else takes.
        other_byte_s: DRAM traffic of something else.
    """

    clock: FloatArray | float = 1.0
    other_gpu: FloatArray | float = 0.0
    other_byte_s: FloatArray | float = 0.0


@dataclass(frozen=True)
class Response:
    """What configurations give, without noise: throughput_ips, p50_ms, p99_ms [R, T]; rails_w [R, 3]; throttled [R].

    Rails are VDD_GPU_SOC, VDD_CPU_CV and VIN_SYS_5V0; their sum is the module's power. A plain computer has none: 0.
    """

    throughput_ips: FloatArray
    p50_ms: FloatArray
    p99_ms: FloatArray
    rails_w: FloatArray
    throttled: npt.NDArray[np.bool_]

    @property
    def power_w(self) -> FloatArray:
        """[R]"""
        total: FloatArray = self.rails_w.sum(axis=1)
        return total


def respond(contexts: Contexts, rows: npt.NDArray[np.integer], instances: npt.NDArray[np.integer], levels: npt.NDArray[np.integer]) -> Response:
    """What each row gives in a closed loop.

    Args:
        rows: [R], which context. instances: [R, T, P]. levels: [R, T, P], positions in `contexts.batches` (any, where no instance is).
    """
    parts = [
        _solve(contexts, rows[start : start + CHUNK], instances[start : start + CHUNK], levels[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)
    ]
    return Response(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _solve(contexts: Contexts, rows: npt.NDArray[np.integer], instances: npt.NDArray[np.integer], levels: npt.NDArray[np.integer]) -> tuple[FloatArray, ...]:
    """One chunk; arrays are [S, R] inside, so that sums over slots run along memory."""
    tenants, count = contexts.tenants, len(rows)
    slots, sizes = tenants * 4, len(contexts.batches)
    n = np.ascontiguousarray(instances.reshape(count, slots).T.astype(np.float64))
    level = levels.reshape(count, slots).T
    at = rows * (slots * sizes) + np.arange(slots)[:, None] * sizes + level
    flat = contexts.table.reshape(len(FEATURES), -1)
    used = n > 0
    host, gpu, exclusive, dla, gpu_bytes, dla_bytes, gpu_j, cv_j = (np.where(used, flat[i].take(at), 0.0) for i in range(len(FEATURES)))
    c = {name: getattr(contexts, name)[rows] for name in _SCALARS}

    total = n.sum(axis=0)
    on_gpu = n.reshape(tenants, 4, count)[:, :2].sum(axis=(0, 1))
    threads = np.maximum(1.0, c["threads"] / np.maximum(total, 1.0))
    least = threads ** -c["threads_exponent"]
    crowd = 1.0 + c["interference"] * np.maximum(on_gpu - 1.0, 0.0)
    demand = n * exclusive * (crowd * threads ** (1.0 - c["threads_exponent"]))
    gpu = gpu * crowd
    fixed = host + dla
    round_s = np.zeros_like(n)
    per_core = (n * dla).reshape(tenants, 4, count)[:, 2:].sum(axis=0)
    round_s.reshape(tenants, 4, count)[:, 2:] = per_core

    cycle = np.maximum(fixed + gpu * least, round_s) + (~used)
    share = (demand / cycle).reshape(tenants, 4, count).sum(axis=0)
    mixed = share[0] * share[1] / np.maximum((share[0] + share[1]) ** 2, 1e-300)
    capacity = c["capacity"] * (1.0 + 4.0 * c["pipe_overlap"] * mixed)
    ahead = np.minimum(share.sum(axis=0) - share[2:], 1.0)  # what a DLA needs of the GPU waits for a kernel of others, where one runs
    gpu.reshape(tenants, 4, count)[:, 2:] *= 1.0 + ahead
    cycle, stretch = _cycles(fixed, gpu, demand, round_s, used, least, capacity)

    rate = n / cycle
    traffic = (rate * dla_bytes).reshape(tenants, 4, count)[:, 2:].sum(axis=0)
    own = (rate * gpu_bytes).sum(axis=0)
    everything = own + traffic.sum(axis=0)
    beyond = c["contention_slope"] * np.minimum(np.maximum(everything / c["dram_byte_s"] - c["contention_threshold"], 0.0), c["contention_plateau"])
    relative = beyond / np.maximum(everything, 1e-300)
    slow_gpu = 1.0 + relative * (everything - own)
    slow_dla = 1.0 + relative * (everything - traffic)
    gpu = gpu * slow_gpu
    by_core = dla.reshape(tenants, 4, count)
    by_core[:, 2:] *= slow_dla
    round_s.reshape(tenants, 4, count)[:, 2:] = per_core * slow_dla
    fixed = host + dla
    cycle, stretch = _cycles(fixed, gpu, demand * slow_gpu, round_s, used, stretch, capacity, least, steps=STEPS - 1)

    locked = (n * host / cycle).sum(axis=0) * c["launch_lock"]
    cycle = cycle * np.maximum(1.0, locked)
    rate = n / cycle
    gpu_w = (rate * gpu_j).sum(axis=0)
    cv_w = (rate * cv_j).sum(axis=0)
    sys_w = (rate * (gpu_bytes + dla_bytes)).sum(axis=0) * c["byte_j"]
    idle = c["idle_gpu_w"] + c["idle_cv_w"] + c["idle_sys_w"]
    above = gpu_w + cv_w + sys_w
    left = np.minimum(1.0, np.maximum(c["max_power_w"] - idle, 0.1) / np.maximum(above, 1e-300))
    speed = left**THROTTLE_EXPONENT
    rails = np.stack([c["idle_gpu_w"] + gpu_w * left, c["idle_cv_w"] + cv_w * left, c["idle_sys_w"] + sys_w * left], axis=1)

    cycle = cycle / speed
    images = rate * contexts.batches[np.where(used, level, 0)] * speed
    images = images.reshape(tenants, 4, count)
    throughput = images.sum(axis=1)
    seen = images >= SEEN_SHARE * throughput[:, None]
    cycle = cycle.reshape(tenants, 4, count)
    queued = c["quantum_s"] * np.minimum(1.0, np.maximum(stretch / least - 1.0, 0.0))
    p99 = np.where(seen & (images > 0), cycle, 0.0).max(axis=1) * (1.0 + c["tail"]) + queued
    p50 = (images * cycle).sum(axis=1) / np.maximum(throughput, 1e-300)
    return throughput.T, p50.T * 1e3, p99.T * 1e3, rails, left < 1.0


_SCALARS = (
    *("capacity", "threads", "dram_byte_s", "idle_gpu_w", "idle_cv_w", "idle_sys_w", "max_power_w", "pipe_overlap", "interference", "launch_lock"),
    *("contention_threshold", "contention_slope", "contention_plateau", "byte_j", "tail", "quantum_s", "threads_exponent"),
)


def _cycles(
    fixed: FloatArray,
    gpu: FloatArray,
    demand: FloatArray,
    round_s: FloatArray,
    used: npt.NDArray[np.bool_],
    start: FloatArray,
    capacity: FloatArray,
    least: FloatArray | None = None,
    steps: int = STEPS,
) -> tuple[FloatArray, FloatArray]:
    """Cycle times [S, R] and the stretch [R] at which all GPU phases together use `capacity`.

    Newton's method on the reciprocal of the use, which is a straight line where there is one slot: that solves one kind of instance at once.
    """
    floor = start if least is None else least
    stretch = start
    idle = (~used).astype(np.float64)
    for step in range(steps + 1):
        free = fixed + gpu * stretch
        cycle = np.maximum(free, round_s) + idle
        if step == steps:
            break
        use = demand / cycle
        total = use.sum(axis=0)
        falling = np.where(free >= round_s, use * gpu / cycle, 0.0).sum(axis=0)
        stretch = np.maximum(stretch + total * (total / capacity - 1.0) / np.maximum(falling, 1e-300), floor)
    return cycle, stretch
