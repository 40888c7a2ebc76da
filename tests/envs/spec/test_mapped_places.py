"""Mappings as places at which an instance can run."""

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import ConfigurationError, OptionError
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Kind,
    Tenant,
    Workload,
    accelerator,
)
from envs.spec.change_cost import engines_of
from envs.spec.memory import memory_mib
from tests.worlds import network

NAME = "dla0_to_7_tensor"


def device(*names: str) -> DeviceSpec:
    return DeviceSpec("board", tuple(accelerator(each) for each in names), 4, 1e5)


def space(tenants: int = 1, *blocks: tuple[int, int, int]) -> ConfigurationSpace:
    workload = Workload(tuple(Tenant(f"net{n}", network(f"net{n}")) for n in range(tenants)))
    board = device("tensor", "cuda", "dla0", "dla1")
    plain = ConfigurationSpace(board, workload, 2, (1, 4))
    mapped = plain.with_mappings([[NAME, "tensor_to_3_dla1"], *[[]] * (tenants - 1)])
    return replace(mapped, blocks=frozenset(blocks))


def test_a_mapping_is_of_its_dla_and_computes_as_its_least_exact_part() -> None:
    place = accelerator("tensor_to_3_dla1_to_9_cuda")
    assert (place.kind, place.resource, place.dla_core) == (Kind.DLA, "dla1", 1)
    assert place.resources == ("gpu", "dla1")
    assert place.precision == "int8"
    assert (place.max_instances, place.max_batch) == (3, 8)
    assert (place.needs_engine, place.on_gpu) == (True, False)
    assert place.start_rank > accelerator("dla1").start_rank
    on_cores = accelerator("cpu_fp32_to_3_cpu_int8")
    assert (on_cores.kind, on_cores.resources) == (Kind.CPU, ("cpu",))
    assert (on_cores.max_instances, on_cores.needs_engine) == (None, False)


def test_both_cores_run_the_engines_of_a_mapping() -> None:
    assert accelerator("dla0_to_7_tensor").engine == accelerator("dla1_to_7_tensor").engine
    assert accelerator("dla0_to_7_tensor").engine != accelerator("dla0_to_8_tensor").engine
    assert accelerator("dla0").engine == accelerator("dla1").engine


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dla0_to_3_dla1", "two DLA cores"),
        ("tensor_to_3_dla0_to_5_dla1", "two DLA cores"),
        ("tensor_to_3_cpu_int8", "cannot be one instance"),
        ("edgetpu0_to_3_cpu_int8", "cannot be one instance"),
        ("gpu_to_3_tensor", "no accelerator 'gpu'"),
        ("tensor_in_4_to_3_dla0", "no accelerator 'tensor_in_4'"),
        ("tensor_to_x_dla0", "no mapping of layer groups"),
        ("tensor_to_03_dla0", "no mapping of layer groups"),  # a second name of tensor_to_3_dla0
        ("tensor_to_٣_dla0", "no mapping of layer groups"),
        (f"tensor_to_{'9' * 5000}_dla0", "no mapping of layer groups"),
    ],
)
def test_what_cannot_be_one_instance_is_refused(name: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        accelerator(name)


def test_a_device_takes_mappings_of_its_own_accelerators_each_once() -> None:
    board = device("tensor", "dla0").with_chosen({Kind.DLA: "fp16"}).with_mappings([NAME])
    assert board.accelerators[-1].precision == "fp16"  # as its parts on this device
    assert [each.name for each in board.parts(board.accelerators[-1])] == ["dla0", "tensor"]
    assert DeviceSpec.from_dict(board.to_dict()) == board
    assert board.with_chosen({Kind.DLA: "int8"}).accelerators[-1].precision == "int8"
    assert board.with_precisions(["fp16"]) == board
    assert device("tensor", "cuda", "dla0").with_mappings([NAME]).with_precisions(
        ["fp32"]
    ).accelerator_names == ("cuda",)
    for names in ([NAME], ["dla0"], ["tensor_to_3_dla0", "tensor_to_3_dla0"]):
        with pytest.raises(OptionError, match="is there already"):
            board.with_mappings(names)
    with pytest.raises(OptionError, match="no accelerator 'dla1'"):
        board.with_mappings(["dla1_to_7_tensor"])


def test_a_mapping_is_open_to_its_own_tenant_alone() -> None:
    two = space(2)
    assert two.device.accelerator_names[4:] == (NAME, "tensor_to_3_dla1")
    assert two.unavailable == {(1, 4), (1, 5)}
    assert ConfigurationSpace.from_dict(two.to_dict()) == two
    placements = np.zeros((2, 6, 2), dtype=int)
    placements[0, 4] = placements[1, 0] = (1, 1)
    two.check(Configuration.of(placements))
    assert two.describe(Configuration.of(placements)) == f"net0: {NAME} 1x1; net1: tensor 1x1"
    placements[1, 4] = (1, 1)
    with pytest.raises(ConfigurationError, match="no other network than it was chosen for"):
        two.check(Configuration.of(placements))


def test_a_core_holds_the_loadables_of_whole_networks_and_mappings_together() -> None:
    several = space(1, (0, 2, 9), (0, 4, 7))
    placements = np.zeros((1, 6, 2), dtype=int)
    placements[0, 2] = placements[0, 4] = (2, 1)
    several.check(Configuration.of(placements))
    placements[0, 3] = (2, 1)  # the other core
    several.check(Configuration.of(placements))
    over = space(1, (0, 2, 9), (0, 4, 8))
    with pytest.raises(ConfigurationError, match="more loadables"):
        over.check(Configuration.of(placements))
    one = space(1, (0, 2, 16))  # each part on a DLA is at least one
    with pytest.raises(ConfigurationError, match="more loadables"):
        one.check(Configuration.of(placements))


def test_a_mapping_has_its_weights_once_and_buffers_between_its_parts() -> None:
    own = space()
    mib = memory_mib(own, _rows([(4, 1), (4, 2), (0, 1), (0, 2)]))
    net = own.workload.tenants[0].network
    buffer_mib = net.activation_bytes / 2 / 2**20  # FP16 is the widest
    assert mib[0] - mib[2] == pytest.approx(buffer_mib)
    assert mib[1] - mib[0] == pytest.approx(mib[3] - mib[2] + buffer_mib)


def test_the_same_engine_serves_on_both_cores() -> None:
    own = ConfigurationSpace(
        device("tensor", "dla0", "dla1"), Workload((Tenant("net", network()),)), 2, (1, 4)
    ).with_mappings([["dla0_to_7_tensor", "dla1_to_7_tensor", "dla0_to_8_tensor"]])
    needed = engines_of(own, _rows([(3, 1), (4, 1), (5, 1)], own.shape[1]))
    assert (needed[0] == needed[1]).all()
    assert not (needed[0] & needed[2]).any()


def _rows(places: list[tuple[int, int]], accelerators: int = 6) -> np.ndarray:
    placements = np.zeros((len(places), 1, accelerators, 2), dtype=np.int16)
    for row, (column, instances) in enumerate(places):
        placements[row, 0, column] = (instances, 1)
    return placements
