"""Blocks on an SM: by hand, and against NVIDIA's own calculator where its header is at hand."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.kernels.nvcc import find_nvcc
from envs.kernels.occupancy import (
    LIMITS,
    WARP,
    BlockNeeds,
    SmLimits,
    fitting,
    footprint,
    occupancy,
    whole,
)

ORIN = LIMITS[87]
needs = st.builds(BlockNeeds, st.integers(1, 1024), st.integers(1, 255), st.integers(0, 200_000))
limits = st.sampled_from(list(LIMITS.values()))


@pytest.mark.parametrize(
    ("wanted", "blocks", "why"),
    [
        (BlockNeeds(256, 32, 0), 6, "48 warps, 8 for each block"),
        (BlockNeeds(32, 16, 0), 16, "16 blocks"),
        (BlockNeeds(256, 64, 0), 4, "65536 registers, 16384 for each block"),
        (BlockNeeds(64, 32, 40_000), 4, "164 KiB, 41088 bytes for each block"),
        (BlockNeeds(1024, 64, 0), 1, "all registers"),
        (BlockNeeds(1024, 65, 0), 0, "more registers than there are"),
        (BlockNeeds(32, 32, 164 * 1024), 0, "a block may have 163 KiB"),
    ],
)
def test_blocks_on_an_orin(wanted: BlockNeeds, blocks: int, why: str) -> None:
    assert fitting(ORIN, wanted) == blocks, why


def test_occupancy_is_the_share_of_warps() -> None:
    assert occupancy(ORIN, BlockNeeds(256, 64, 0)) == pytest.approx(32 / 48)
    assert occupancy(ORIN, BlockNeeds(1024, 65, 0)) == 0


@given(limits, needs, needs, st.integers(0, 8))
def test_what_fits_beside_another_is_never_more_than_is_left(
    sm: SmLimits, first: BlockNeeds, second: BlockNeeds, count: int
) -> None:
    one, other = footprint(sm, first), footprint(sm, second)
    if one is None or other is None:
        assert one is not None or fitting(sm, first) == 0
        return
    count = min(count, fitting(sm, first))
    left = whole(sm) - one.times(count)
    beside = fitting(sm, second, left)
    assert whole(sm).holds(one.times(count) + other.times(beside))
    assert beside <= fitting(sm, second)


@given(limits, needs, st.integers(1, 1024), st.integers(1, 255), st.integers(0, 200_000))
def test_who_needs_less_fits_as_often(
    sm: SmLimits, one: BlockNeeds, threads: int, registers: int, shared: int
) -> None:
    less = BlockNeeds(
        min(threads, one.threads), min(registers, one.registers), min(shared, one.shared_bytes)
    )
    assert fitting(sm, less) >= fitting(sm, one)


PROGRAM = r"""
#include <cstddef>
#include <climits>
#include <cstdio>
#include <cstring>
#include "cuda_occupancy.h"
int main() {
  int capability, warps, registers, threads, used, shared, total, block, reserved;
  while (std::scanf("%d %d %d %d %d %d %d %d %d", &capability, &warps, &registers, &total, &block,
                    &reserved, &threads, &used, &shared) == 9) {
    cudaOccDeviceProp sm;
    sm.computeMajor = capability / 10, sm.computeMinor = capability % 10;
    sm.maxThreadsPerBlock = 1024, sm.maxThreadsPerMultiprocessor = warps * 32;
    sm.regsPerBlock = sm.regsPerMultiprocessor = registers, sm.warpSize = 32, sm.numSms = 1;
    sm.sharedMemPerBlock = 49152, sm.sharedMemPerBlockOptin = block;
    sm.sharedMemPerMultiprocessor = total, sm.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024, kernel.numRegs = used, kernel.sharedSizeBytes = 0;
    kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN, kernel.maxDynamicSharedSizeBytes = block;
    kernel.numBlockBarriers = 1;
    cudaOccDeviceState state;
    cudaOccResult result;
    int code = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &sm, &kernel, &state, threads,
                                                       shared);
    std::printf("%d\n", code ? -1 : result.activeBlocksPerMultiprocessor);
  }
}
"""


def header() -> Path | None:
    nvcc = find_nvcc()
    folders = [Path("/usr/local/cuda/include")]
    if nvcc is not None:
        folders.append(Path(nvcc).resolve().parents[1] / "include")
    return next((each for each in folders if (each / "cuda_occupancy.h").exists()), None)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")
@pytest.mark.skipif(header() is None, reason="CUDA's cuda_occupancy.h is not here")
def test_the_calculator_of_nvidia_gives_the_same(tmp_path: Path) -> None:
    source, program, draw = tmp_path / "occupancy.cpp", tmp_path / "occupancy", random.Random(1)
    source.write_text(PROGRAM)
    command = ["g++", "-w", f"-I{header()}", "-o", str(program), str(source)]
    subprocess.run(command, check=True)
    cases = [
        (
            sm,
            BlockNeeds(
                draw.choice((draw.randint(1, 1024), WARP * draw.randint(1, 32))),
                draw.randint(1, 255),
                draw.choice((0, draw.randint(0, sm.block_shared_bytes))),
            ),
        )
        for sm in LIMITS.values()
        for _ in range(1000)
    ]
    lines = "".join(
        f"{sm.capability} {sm.warps} {sm.registers} {sm.shared_bytes} {sm.block_shared_bytes} "
        f"{sm.reserved_bytes} {one.threads} {one.registers} {one.shared_bytes}\n"
        for sm, one in cases
    )
    run = subprocess.run([str(program)], input=lines, capture_output=True, text=True, check=True)
    theirs = [int(each) for each in run.stdout.split()]
    assert len(theirs) == len(cases)
    for (sm, one), expected in zip(cases, theirs, strict=True):
        assert fitting(sm, one) == expected, (sm.capability, one)
