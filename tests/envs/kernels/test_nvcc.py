"""All generated kernels are compiled for the GPUs of the project; no GPU is needed."""

from __future__ import annotations

import functools

import pytest

from envs.kernels import KernelError, elastic, joined
from envs.kernels.library import FILES, source_of
from envs.kernels.nvcc import Compiled, architectures, compile_kernels, find_nvcc, parse_assembler
from envs.kernels.nvrtc import compile_with_nvrtc, find_nvrtc, nvrtc_architectures

needs_nvcc = pytest.mark.skipif(find_nvcc() is None, reason="there is no nvcc here")
WANTED = (72, 87, 90)
KNOWN = [each for each in WANTED if each in architectures()]


@functools.cache
def compiled(target: int) -> dict[tuple[str, int], Compiled]:
    """Return what all kernels need; nvcc compiles for all the targets that it knows at once."""
    text = joined([elastic(source_of(name), name) for name in FILES])
    if target not in architectures():
        image = compile_with_nvrtc(text, target)
    elif target == KNOWN[0]:
        image = compile_kernels(text, KNOWN)
    else:
        return compiled(KNOWN[0])
    assert image.code
    return image.kernels


@pytest.mark.parametrize("target", WANTED)
def test_every_kernel_is_compiled(target: int) -> None:
    if target not in architectures() | nvrtc_architectures():
        pytest.skip(f"neither an nvcc nor an NVRTC here compiles for sm_{target}")
    for name in FILES:
        original = compiled(target)[name, target]
        for entry in elastic(source_of(name), name).entries.values():
            one = compiled(target)[entry, target]
            assert 0 < one.registers <= 255
            assert one.stack_bytes == 0, entry
            # The number of the next block is all that is added to shared memory, at its alignment.
            assert original.shared_bytes < one.shared_bytes <= original.shared_bytes + 16


@pytest.mark.skipif(find_nvrtc() is None, reason="there is no NVRTC here")
def test_source_that_nvrtc_refuses() -> None:
    target = min(nvrtc_architectures())
    with pytest.raises(KernelError, match=r"NVRTC refuses the source: .*nothing"):
        compile_with_nvrtc("__global__ void k(int *a) { *a = nothing; }", target)
    with pytest.raises(KernelError, match="does not compile for sm_20"):
        compile_with_nvrtc("", 20)


@needs_nvcc
def test_source_that_nvcc_refuses() -> None:
    with pytest.raises(KernelError, match=r"nvcc refuses the source: .*nothing"):
        compile_kernels("__global__ void k(int *a) { *a = nothing; }", [87])


@needs_nvcc
def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(KernelError, match="does not compile for sm_20"):
        compile_kernels("", [20])


def test_what_the_assembler_prints_is_read() -> None:
    printed = """
ptxas info    : Compiling entry function 'gemm' for 'sm_87'
ptxas info    : Function properties for gemm
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 3264 bytes smem, 392 bytes cmem[0]
ptxas info    : Compiling entry function 'add' for 'sm_90'
ptxas info    : Used 12 registers, used 0 barriers
"""
    assert parse_assembler(printed) == {
        ("gemm", 87): Compiled(40, 3264, 16),
        ("add", 90): Compiled(12, 0, 0),
    }
