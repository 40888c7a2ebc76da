"""Networks and mixes for the timeline model of elastic kernels.

Networks are lists of the benchmark's kernels with the sizes of real layers. Their times alone are
computed, not measured: the larger of arithmetic and traffic over assumed shares of an AGX Orin's
peaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from envs.kernels.nvcc import Compiled
from envs.kernels.occupancy import LIMITS, WARP, BlockNeeds
from envs.kernels.space import Gpu, KernelWork
from envs.kernels.timeline import Mix

#: AGX Orin 64 GB in MAXN: 16 SMs of 128 lanes at 1.3 GHz, and 204.8 GB/s (its data sheet).
ORIN = Gpu(LIMITS[87], sms=16)
PEAK_FLOPS, PEAK_BYTES = 16 * 128 * 2 * 1.3e9, 204.8e9
#: Assumed: shares of the peaks that plain kernels reach, and warps that keep an SM busy.
FLOPS_SHARE, BYTES_SHARE, BUSY_WARPS = 0.3, 0.7, 32
#: Threads of a block of each kernel, as its source and its problems have it.
THREADS = {"gemm": 256, "im2col": 256, "depthwise": 64, "bias_relu": 256, "add": 256}
COVERS = (1, 2, 4, 8)

#: Channels and image size of each depthwise block of the small network.
_STAGES = ((32, 112), (64, 56), (128, 56), (128, 28), (256, 28), *[(256, 14)] * 6, (512, 7))

Resources = Mapping[tuple[str, int], Compiled]


def _work(
    resources: Resources,
    entries: Mapping[str, Mapping[int, str]],
    kernel: str,
    blocks: int,
    flops: float,
    traffic: float,
) -> KernelWork:
    threads = THREADS[kernel]
    original = resources[kernel, 87]
    warps = blocks * threads // WARP
    fill = min(1.0, warps / (ORIN.sms * BUSY_WARPS))
    duration = (
        max(flops / (PEAK_FLOPS * FLOPS_SHARE), traffic / (PEAK_BYTES * BYTES_SHARE)) / fill + 2e-6
    )
    versions = []
    for cover in COVERS:
        if threads // cover >= WARP:
            found = entries[kernel]
            one = resources[found.get(cover) or found[0], 87]
            versions.append(BlockNeeds(threads // cover, one.registers, one.shared_bytes))
    needs = BlockNeeds(threads, original.registers, original.shared_bytes)
    return KernelWork(kernel, blocks, needs, duration, tuple(versions))


def networks(
    resources: Resources, entries: Mapping[str, Mapping[int, str]]
) -> tuple[list[KernelWork], list[KernelWork]]:
    """Return a small network of depthwise blocks and a large one of residual blocks."""

    def work(kernel: str, blocks: int, flops: float, traffic: float) -> KernelWork:
        return _work(resources, entries, kernel, blocks, flops, traffic)

    def product(m: int, n: int, k: int) -> KernelWork:
        blocks = -(-n // 16) * -(-m // 32)
        return work("gemm", blocks, 2.0 * m * n * k, 4.0 * (m * k + k * n + m * n))

    def plain(kernel: str, count: int, tensors: int) -> KernelWork:
        return work(kernel, -(-count // 256), count, 4.0 * count * tensors)

    small: list[KernelWork] = []
    for channels, size in _STAGES:
        plane = size * size
        tiles = channels * (-(-size // 8)) ** 2
        small += [
            work("depthwise", tiles, 18.0 * channels * plane, 8.0 * channels * plane),
            plain("bias_relu", channels * plane, 2),
            product(2 * channels, plane, channels),
            plain("bias_relu", 2 * channels * plane, 2),
        ]
    large: list[KernelWork] = []
    for channels, size in ((64, 56), (128, 28), (256, 14), (512, 7)):
        plane = size * size
        columns = channels * 9 * plane
        for _ in range(2):
            large += [
                work("im2col", -(-columns // 512), columns, 4.0 * columns),
                product(channels, plane, channels * 9),
                plain("bias_relu", channels * plane, 2),
                plain("add", channels * plane, 3),
            ]
    return small, large


def mixes(small: list[KernelWork], large: list[KernelWork], requests: int = 40) -> dict[str, Mix]:
    """Return four mixes: closed loop, uniform and Poisson arrivals of the critical network."""
    random = np.random.default_rng(0)
    alone_s: Callable[[list[KernelWork]], float] = lambda network: sum(  # noqa: E731
        each.duration_s + ORIN.launch_s for each in network
    )

    def uniform(network: list[KernelWork]) -> list[float]:
        return [3 * alone_s(network) * number for number in range(1, requests + 1)]

    def poisson(network: list[KernelWork]) -> list[float]:
        gaps = random.exponential(3 * alone_s(network), requests)
        return [float(each) for each in np.cumsum(gaps)]

    return {
        "A closed loop": Mix(small, [float("nan")] * requests, large),
        "B uniform": Mix(small, uniform(small), large),
        "C Poisson": Mix(large, poisson(large), small, foreseen=False),
        "D Poisson": Mix(small, poisson(small), large, foreseen=False, errors=(0.9, 1.0, 1.2)),
    }
