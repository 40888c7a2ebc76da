"""The exact times of groups that overlap: whoever runs slows the others by its DRAM traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuner.placement.schedules_data import Contention, Step, Task

#: Work that is left of a group below this share of it is rounding.
_ROUNDING = 1e-12


def times_of(
    steps: Mapping[Task, Step], order: Iterable[Task], contention: Contention
) -> dict[Task, tuple[float, float]]:
    """Return the start and the end [s] of each group.

    A group begins as soon as the one before it in its network and the one before it on its
    resource are done. Between two such moments all that run have constant speeds.

    Args:
        steps: the groups.
        order: all of them; each resource runs its own in this order. A group comes after those of
            its network that come before it.
        contention: how accelerators slow each other.
    """
    waiting: dict[str, list[Task]] = {}
    for task in order:
        waiting.setdefault(steps[task].resource, []).append(task)
    times: dict[Task, tuple[float, float]] = {}
    running: dict[Task, float] = {}  # the seconds alone that are left
    starts: dict[Task, float] = {}
    busy: set[str] = set()
    now = 0.0
    while len(times) < len(steps):
        for resource, queue in waiting.items():
            if queue and resource not in busy and _is_ready(queue[0], times):
                task = queue.pop(0)
                starts[task], running[task] = now, steps[task].alone_s
                busy.add(resource)
        traffic = sum(steps[task].byte_s for task in running)
        factors = {
            task: contention.slowdown(steps[task].byte_s, traffic - steps[task].byte_s)
            for task in running
        }
        elapsed = min(left * factors[task] for task, left in running.items())
        now += elapsed
        for task, left in list(running.items()):
            running[task] = left - elapsed / factors[task]
            if running[task] <= _ROUNDING * steps[task].alone_s:
                del running[task]
                times[task] = starts[task], now
                busy.remove(steps[task].resource)
    return times


def _is_ready(task: Task, done: Mapping[Task, tuple[float, float]]) -> bool:
    network, group = task
    return group == 0 or (network, group - 1) in done
