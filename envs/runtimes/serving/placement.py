"""From a configuration to slots: one for each instance, with its number of threads."""

from __future__ import annotations

from envs.runtimes.serving.instance import Slot
from envs.spec.device import DeviceSpec, Kind
from envs.spec.space import Configuration


def threads_of(cores: int, instances: int) -> list[int]:
    """Share out the cores evenly; the first instances get the rest, and each has at least one."""
    share, rest = divmod(cores, instances)
    return [max(1, share + (position < rest)) for position in range(instances)]


def slots_of(configuration: Configuration, device: DeviceSpec) -> list[Slot]:
    """Return one slot per instance, in the order tenant, accelerator, instance.

    The cores are shared out among the instances that compute on them. An instance on a GPU or a
    DLA has no threads of its own, which counts as one thread: the count is part of an engine's
    key and must not change with the number of instances.
    """
    on_cpu = [each.kind is Kind.CPU for each in device.accelerators]
    computing = sum(
        count for _, accelerator, count, _ in configuration.slots() if on_cpu[accelerator]
    )
    threads = iter(threads_of(device.cores, computing) if computing else ())
    return [
        Slot(tenant, accelerator, next(threads) if on_cpu[accelerator] else 1, batch)
        for tenant, accelerator, instances, batch in configuration.slots()
        for _ in range(instances)
    ]
