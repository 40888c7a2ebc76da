"""From a configuration to instances: which slots there are, and how many threads each gets."""

from __future__ import annotations

from envs.configuration import Configuration
from envs.runtimes.instance import Slot


def threads_of(cores: int, instances: int) -> list[int]:
    """The rule for threads: the cores are dealt out evenly, the first instances get what is left over, and each has at least one."""
    share, rest = divmod(cores, instances)
    return [max(1, share + (position < rest)) for position in range(instances)]


def slots_of(configuration: Configuration, cores: int) -> list[Slot]:
    """One slot an instance, in the order tenant, accelerator, instance."""
    threads = iter(threads_of(cores, configuration.total_instances))
    return [Slot(tenant, accelerator, next(threads), batch) for tenant, accelerator, instances, batch in configuration.slots() for _ in range(instances)]
