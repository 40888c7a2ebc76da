"""From a configuration to instances and their threads."""

from __future__ import annotations

import pytest

from envs.errors import OptionError
from envs.runtimes.serving.placement import slots_of, threads_of
from envs.spec import Configuration, DeviceSpec, accelerator, local_computer


@pytest.mark.parametrize(
    ("cores", "instances", "threads"),
    [(2, 1, [2]), (2, 2, [1, 1]), (2, 5, [1] * 5), (8, 3, [3, 3, 2]), (12, 5, [3, 3, 2, 2, 2])],
)
def test_the_rule_for_threads(cores: int, instances: int, threads: list[int]) -> None:
    assert threads_of(cores, instances) == threads
    assert sum(threads) == max(cores, instances)


def test_slots_follow_the_order_of_tenants_and_accelerators() -> None:
    computer = DeviceSpec(
        "computer", (accelerator("cpu_fp32"), accelerator("cpu_int8")), cores=8, memory_mib=1000
    )
    slots = slots_of(Configuration((((1, 4), (0, 0)), ((1, 1), (2, 2)))), computer, (False, False))
    assert [(slot.tenant, slot.accelerator, slot.threads, slot.batch) for slot in slots] == [
        (0, 0, 2, 4),
        (1, 0, 2, 1),
        (1, 1, 2, 2),
        (1, 1, 2, 2),
    ]


def test_what_a_gpu_instance_is_loaded_for_does_not_depend_on_the_others() -> None:
    """Otherwise one more instance would reload every engine."""
    board = DeviceSpec(
        "board", (accelerator("cuda"), accelerator("cpu_fp32")), cores=8, memory_mib=1000
    )
    alone, beside = (
        slots_of(Configuration(((gpu, (2, 1)),)), board, (False,)) for gpu in ((1, 1), (3, 1))
    )
    assert (
        {slot.engine_key for slot in alone}
        == {(0, 0, 1), (0, 1, 4)}
        == {slot.engine_key for slot in beside}
    )


def test_a_plain_computer_has_no_dla() -> None:
    with pytest.raises(OptionError, match="no accelerator 'dla0'"):
        local_computer(("dla0",))
    with pytest.raises(OptionError, match="cores=0 must lie in"):
        local_computer(cores=0)
