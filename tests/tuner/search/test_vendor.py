"""The orders in which the searches after a vendor's guide measure."""

from __future__ import annotations

from envs.testing.problems import hopeless, run_search, small_problem, small_space, smooth
from tuner.search.registry import make_search


def test_vendor_default_grows_the_batch_then_the_instances_then_the_accelerators() -> None:
    problem = small_problem(small_space())
    words = [
        problem.space.describe(each).removeprefix("net0: ")
        for each in run_search(make_search("vendor_default", problem), smooth, 9)
    ]
    singles = [
        "cuda 1x1",
        "cuda 1x2",
        "tensor 1x1",
        "tensor 1x2",
        "cuda 2x1",
        "cuda 2x2",
        "tensor 2x1",
        "tensor 2x2",
    ]
    assert words == [*singles, "cuda 1x1 + tensor 1x1"]


def test_vendors_grow_the_batch_of_an_engine_for_tensor_cores_and_of_those_for_the_dla() -> None:
    problem = small_problem(
        small_space(accelerators=("tensor", "cuda", "dla0", "dla1"), batches=(1, 2, 4, 8, 16))
    )
    found = {
        name: run_search(make_search(name, problem), hopeless, 5)
        for name in ("vendor_gpu", "vendor_gpu_dla")
    }
    words = [
        [problem.space.describe(each).removeprefix("net0: ") for each in configurations]
        for configurations in found.values()
    ]
    assert words[0] == [f"tensor 1x{size}" for size in (1, 2, 4, 8, 16)]
    on_dla = [
        f"tensor 1x{size} + dla0 1x{core} + dla1 1x{core}"
        for size, core in ((1, 2), (2, 2), (4, 4), (8, 8))
    ]
    assert words[1] == ["tensor 1x1", *on_dla]
