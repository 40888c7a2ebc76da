from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.simulator.machine import RESERVED_MIB, device_of
from envs.spec import ConfigurationSpace, DeviceSpec, Tenant, TensorSpec, Workload, accelerator
from envs.spec.memory import CONTEXT_MIB, CUDA_MIB, SESSION_MIB, memory_mib
from tests.worlds import network

MIB = 2**20

#: 80 MiB of weights and 8 MiB of activations in FP32; an input of 3 MiB, an answer of 1 MiB.
PAPER = replace(
    network("paper"),
    weight_bytes=80 * MIB,
    activation_bytes=8 * MIB,
    inputs=(TensorSpec("image", (3, MIB), "uint8"),),
    outputs=(TensorSpec("mask", (MIB // 2,), "float16"),),
)

BORDER = 2 * (3 + 1)  # pinned, and on the device


def space(*names: str, tenants: int = 1) -> ConfigurationSpace:
    device = DeviceSpec("paper", tuple(accelerator(name) for name in names), 8, 1e6)
    workload = Workload(tuple(Tenant(f"net{i}", PAPER) for i in range(tenants)))
    return ConfigurationSpace(device, workload, 8, (1, 2, 4))


def filled(world: ConfigurationSpace, *placements: list[tuple[int, int]]) -> float:
    return float(memory_mib(world, np.array([placements], dtype=np.int16))[0])


def test_instances_on_a_gpu_share_the_weights_of_one_plan() -> None:
    world = space("cuda", "tensor")
    one, three = filled(world, [(1, 1), (0, 0)]), filled(world, [(3, 1), (0, 0)])
    assert one == CUDA_MIB + 80 + CONTEXT_MIB + 8 + BORDER
    assert three - one == 2 * (CONTEXT_MIB + 8 + BORDER)
    # FP16: half of the weights and activations; the border keeps its types. CUDA counts once.
    both = filled(world, [(1, 1), (2, 4)])
    assert both - one == 40 + 2 * (CONTEXT_MIB + 4 * 4 + 4 * BORDER)


def test_each_core_of_a_dla_has_a_plan_of_its_own_and_so_has_each_network() -> None:
    world = space("dla0", "dla1", tenants=2)
    each = CONTEXT_MIB + 2 + BORDER
    assert filled(world, [(1, 1), (0, 0)], [(1, 1), (0, 0)]) == CUDA_MIB + 2 * (20 + each)
    assert filled(world, [(1, 1), (2, 1)], [(1, 1), (0, 0)]) == CUDA_MIB + 3 * 20 + 4 * each


def test_a_session_on_a_processor_has_weights_of_its_own_and_no_cuda() -> None:
    world = space("cpu_fp32", "cpu_int8")
    assert filled(world, [(3, 2), (0, 0)]) == 3 * (SESSION_MIB + 80 + 16)
    assert filled(world, [(0, 0), (1, 4)]) == SESSION_MIB + 20 + 8


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("", 4), ("bool", 1), ("int64", 8), ("bfloat16", 2), ("float8_e4m3fn", 1), ("int4", 1)],
)
def test_a_number_counts_by_the_bits_of_its_type(dtype: str, size: int) -> None:
    told = replace(PAPER, inputs=(TensorSpec("image", (MIB,), dtype),))
    world = replace(space("cuda"), workload=Workload((Tenant("net", told),)))
    assert filled(world, [(1, 1)]) == CUDA_MIB + 80 + CONTEXT_MIB + 8 + 2 * (size + 1)


def test_cuda_is_counted_with_the_instances_and_not_with_the_system() -> None:
    """NVIDIA/TensorRT issue 2217: 0.5 GiB of CUDA libraries beside headroom and desktop."""
    assert RESERVED_MIB + CUDA_MIB == 2560
    assert device_of("orin_nano_8", "15W").memory_mib == 8192 - RESERVED_MIB


def test_the_space_of_one_network_on_an_agx_orin_has_the_number_that_the_readme_says() -> None:
    device = device_of("agx_orin_64", "MAXN")
    resnet50 = replace(network("resnet50"), weight_bytes=102_228_128, activation_bytes=6_422_528)
    world = ConfigurationSpace(
        device, Workload((Tenant("resnet50", resnet50),)), 4, (1, 2, 4, 8, 16, 32, 64)
    )
    assert len(world.catalogue) == 142_128
