"""Elastic kernels of the benchmark equal their originals bit for bit, on the processor."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from envs.kernels import KernelError, elastic, joined
from envs.kernels.library import FILES, Problem, odd_problems, source_of
from envs.kernels.processor import Processor

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")

COVERS = (1, 2, 4, 8, 256)
MADE = {name: elastic(source_of(name), name, COVERS) for name in FILES}
PROBLEMS = {each.kernel: each for each in odd_problems()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Processor:
    names = [*MADE, *(entry for each in MADE.values() for entry in each.entries.values())]
    return Processor(joined(list(MADE.values())), names, tmp_path_factory.mktemp("kernels"))


def result(built: Processor, problem: Problem, seed: int = 0) -> npt.NDArray[np.float32]:
    arguments = problem.copied()
    built.run(problem.kernel, arguments, problem.grid, problem.block, seed=seed)
    output = arguments[problem.output]
    assert isinstance(output, np.ndarray)
    return output.astype(np.float32, copy=False)


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_shards_and_blocks_give_the_same_bits(built: Processor, name: str) -> None:
    problem = PROBLEMS[name]
    expected = result(built, problem)
    widths = (1, 7, 32, 33, problem.threads - 1, problem.threads, problem.threads + 3)
    lengths = (1, 3, problem.blocks)
    for seed, (threads, blocks, length) in enumerate(product(widths, (1, 3), lengths)):
        ends = range(0, problem.blocks, length)
        shards = [(first, min(first + length, problem.blocks)) for first in ends]
        arguments = problem.copied()
        shape = problem.grid, problem.block, shards[::-1], blocks, threads
        built.run_elastic(MADE[name], arguments, *shape, seed=seed)
        assert np.asarray(arguments[problem.output]).tobytes() == expected.tobytes(), shape


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_order_of_threads_does_not_matter_to_an_original(built: Processor, name: str) -> None:
    problem = PROBLEMS[name]
    assert result(built, problem).tobytes() == result(built, problem, seed=5).tobytes()


def test_a_shard_runs_its_own_blocks_only(built: Processor) -> None:
    problem = PROBLEMS["add"]
    whole, arguments = result(built, problem), problem.copied()
    built.run_elastic(MADE["add"], arguments, problem.grid, problem.block, [(1, 3)], 2, 64)
    part = np.asarray(arguments[problem.output])
    assert (part[256:768] == whole[256:768]).all()
    assert not part[:256].any()
    assert not part[768:].any()


def test_originals_compute_what_their_names_say(built: Processor) -> None:
    a, b, left, right = (
        np.asarray(problem.arguments[index], np.float64)
        for problem, index in (
            *((PROBLEMS["gemm"], i) for i in (0, 1)),
            *((PROBLEMS["add"], i) for i in (0, 1)),
        )
    )
    np.testing.assert_allclose(result(built, PROBLEMS["gemm"]), a @ b, atol=1e-4)
    np.testing.assert_allclose(result(built, PROBLEMS["add"]), left + right, atol=1e-6)
    rows = np.asarray(PROBLEMS["softmax"].arguments[0], np.float64)
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result(built, PROBLEMS["softmax"]), expected, atol=1e-6)
    biased = np.asarray(PROBLEMS["bias_relu"].arguments[0])
    bias = np.asarray(PROBLEMS["bias_relu"].arguments[1])
    np.testing.assert_allclose(
        result(built, PROBLEMS["bias_relu"]), np.maximum(biased + bias[:, None], 0)
    )


def test_convolutions_compute_what_their_names_say(built: Processor) -> None:
    def patches(image: npt.NDArray[np.float32], stride: int) -> npt.NDArray[np.float32]:
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return windows[:, ::stride, ::stride]

    direct, spread, deep = (PROBLEMS[name] for name in ("convolution", "im2col", "depthwise"))
    image, weights = (np.asarray(direct.arguments[i]) for i in (0, 1))
    expected = np.einsum("chwij,fcij->fhw", patches(image, 2), weights)
    np.testing.assert_allclose(result(built, direct), expected, atol=1e-4)
    columns = patches(np.asarray(spread.arguments[0]), 1).transpose(0, 3, 4, 1, 2)
    assert (result(built, spread) == columns.reshape(27, -1)).all()
    image, weights = (np.asarray(deep.arguments[i]) for i in (0, 1))
    expected = np.einsum("chwij,cij->chw", patches(image, 1), weights)
    np.testing.assert_allclose(result(built, deep), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "reduce"), [("max_pool", np.nanmax), ("average_pool", np.nanmean)]
)
def test_poolings_compute_what_their_names_say(built: Processor, name: str, reduce: object) -> None:
    image = np.asarray(PROBLEMS[name].arguments[0])
    padded = np.pad(image, ((0, 0), (0, 2), (0, 2)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    assert callable(reduce)
    expected = reduce(windows.reshape(*windows.shape[:3], 9), axis=-1)
    np.testing.assert_allclose(result(built, PROBLEMS[name]), expected[:, :7, :19], atol=1e-6)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("#define N 4", "N", "#undef N\n#define N 8"),
        (
            "static __device__ int f(double x) { return 1; }",
            "f(3)",
            "static __device__ int f(int x) { return 2; }",
        ),
        ("", "d[blockDim.x - 1 - threadIdx.x]", ""),
    ],
)
def test_names_mean_what_they_mean_to_the_original(
    before: str, value: str, after: str, tmp_path: Path
) -> None:
    made = elastic(
        f'{before}\nextern "C" __global__ void k(int *out) {{\n'
        "extern __shared__ int d[];\nd[threadIdx.x] = 3 * threadIdx.x;\n__syncthreads();\n"
        f"out[blockIdx.x * blockDim.x + threadIdx.x] = {value};\n}}\n{after}\n"
    )
    built = Processor(made.text, ["k", *made.entries.values()], tmp_path)
    expected, out = np.zeros(21, np.int32), np.zeros(21, np.int32)
    built.run("k", [expected], (3, 1, 1), (7, 1, 1))
    assert expected.any()
    built.run_elastic(made, [out], (3, 1, 1), (7, 1, 1), [(1, 3), (0, 1)], 2, 4)
    assert (out == expected).all()
    assert made.dynamic


def test_a_barrier_that_some_threads_miss_is_found(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    text = 'extern "C" __global__ void k(int n) { if (threadIdx.x < n) __syncthreads(); }'
    built = Processor(text, ["k"], tmp_path_factory.mktemp("missed"))
    built.run("k", [32], (1, 1, 1), (32, 1, 1))
    with pytest.raises(KernelError, match="did not reach a barrier"):
        built.run("k", [31], (1, 1, 1), (32, 1, 1))


def test_source_that_the_compiler_refuses(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(KernelError, match=r"g\+\+ refuses the kernel: .*nothing"):
        Processor("int x = nothing;", [], tmp_path_factory.mktemp("wrong"))
