"""From a configuration to slots, one for each instance, and the instances that fit them."""

from collections.abc import Collection, Sequence

from envs.runtimes.serving.instance import Instance, Slot
from envs.spec import Configuration, DeviceSpec, Kind


def threads_of(cores: int, instances: int) -> list[int]:
    """Share out the cores evenly; the first instances get the rest, and each has at least one."""
    share, rest = divmod(cores, instances)
    return [max(1, share + (position < rest)) for position in range(instances)]


def slots_of(
    configuration: Configuration, device: DeviceSpec, best_effort: Sequence[bool]
) -> list[Slot]:
    """Return one slot per instance, in the order tenant, accelerator, instance.

    The cores are shared out among the critical instances that compute on them, and once more among
    those of best effort, which compute while the others do not. An instance on a GPU or a DLA has
    no threads of its own, which counts as one thread: the count is part of an engine's key and must
    not change with the number of instances.

    Args:
        configuration: to be served.
        device: has the accelerators and the cores.
        best_effort: [T], True for each tenant that gives way to the others.
    """
    on_cpu = [each.kind is Kind.CPU for each in device.accelerators]
    threads = {}
    for gives_way in (False, True):
        computing = sum(
            count
            for tenant, accelerator, count, _ in configuration.slots()
            if on_cpu[accelerator] and best_effort[tenant] is gives_way
        )
        threads[gives_way] = iter(threads_of(device.cores, computing) if computing else ())
    return [
        Slot(
            tenant,
            accelerator,
            next(threads[best_effort[tenant]]) if on_cpu[accelerator] else 1,
            batch,
        )
        for tenant, accelerator, instances, batch in configuration.slots()
        for _ in range(instances)
    ]


def is_reserve(
    configuration: Configuration, reserve: Configuration | None, optional: Collection[int]
) -> bool:
    """Return True for the last resort of all tenants that are served.

    Args:
        configuration: to be served.
        reserve: the last resort of all tenants; None for none.
        optional: tenants that may be without an instance.
    """
    served = {tenant for tenant, _, _, _ in configuration.slots()}
    if reserve is None or not served:
        return False
    rows = enumerate(zip(configuration.placements, reserve.placements, strict=True))
    return all(
        row == own or (tenant in optional and tenant not in served) for tenant, (row, own) in rows
    )


def match(
    instances: Sequence[Instance], wanted: Sequence[Slot]
) -> tuple[dict[Instance, Slot], list[Slot]]:
    """Return the instances that stay, with their new slots, and the slots that have none.

    An instance stays if its tenant, accelerator and threads are wanted, whatever its batch. One
    that lost its engine does not stay.
    """
    free = [instance for instance in instances if instance.error is None]
    kept: dict[Instance, Slot] = {}
    missing = []
    for slot in wanted:
        fits = [instance for instance in free if instance.slot.engine_key == slot.engine_key]
        if fits:
            same = (instance for instance in fits if instance.slot.batch == slot.batch)
            chosen = next(same, fits[0])
            free.remove(chosen)
            kept[chosen] = slot
        else:
            missing.append(slot)
    return kept, missing
