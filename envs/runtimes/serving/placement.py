"""From a configuration to instances: which slots there are, and how many threads each gets."""

from __future__ import annotations

from envs.runtimes.serving.instance import Slot
from envs.spec.device import DeviceSpec
from envs.spec.space import Configuration


def threads_of(cores: int, instances: int) -> list[int]:
    """The rule for threads: the cores are dealt out evenly, the first instances get what is left over, and each has at least one."""
    share, rest = divmod(cores, instances)
    return [max(1, share + (position < rest)) for position in range(instances)]


def slots_of(configuration: Configuration, device: DeviceSpec) -> list[Slot]:
    """One slot an instance, in the order tenant, accelerator, instance.

    Cores are dealt out among the instances that compute on them. On a GPU or DLA an instance has no threads of its own, which is written as
    one: the count is part of what an engine is loaded for, and must not change with the number of instances.
    """
    hosted = [each.name.startswith("cpu_") for each in device.accelerators]
    here = sum(
        instances for _, accelerator, instances, _ in configuration.slots() if hosted[accelerator]
    )
    threads = iter(threads_of(device.cores, here) if here else ())
    return [
        Slot(tenant, accelerator, next(threads) if hosted[accelerator] else 1, batch)
        for tenant, accelerator, instances, batch in configuration.slots()
        for _ in range(instances)
    ]
