"""A discrete-event simulation of one queue in front of servers that take batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from envs.arrays import FloatArray


@dataclass(frozen=True)
class Group:
    """Equal servers that take up to `batch` requests; k of them take fixed_s + k each_s."""

    servers: int
    batch: int
    fixed_s: float
    each_s: float

    @property
    def capacity(self) -> float:
        return self.servers * self.batch / (self.fixed_s + self.batch * self.each_s)


@dataclass(frozen=True)
class Simulated:
    waits_s: FloatArray
    latencies_s: FloatArray
    batch: float
    utilisation: float


def simulate(
    rate: float, groups: list[Group], max_wait_s: float, requests: int = 12_000, seed: int = 0
) -> Simulated:
    """Poisson requests in one queue, event by event.

    An idle server that may take a batch is drawn at random.
    """
    rng = np.random.default_rng(seed)
    env = simpy.Environment()
    idle = [group for group in groups for _ in range(group.servers)]
    servers = len(idle)
    queue: list[float] = []
    waits, latencies, sizes = [], [], []
    worked = 0.0

    def dispatch() -> None:
        nonlocal worked
        while queue and idle:
            patient = env.now - queue[0] < max_wait_s - 1e-9
            able = [
                index
                for index, group in enumerate(idle)
                if not patient or len(queue) >= group.batch
            ]
            if not able:
                return
            group = idle.pop(able[rng.integers(len(able))])
            taken = queue[: group.batch]
            del queue[: group.batch]
            service = group.fixed_s + len(taken) * group.each_s
            worked += service
            sizes.append(len(taken))
            waits.extend(env.now - arrival for arrival in taken)
            latencies.extend(env.now + service - arrival for arrival in taken)
            at(service, lambda group=group: idle.append(group))

    def at(delay: float, change: object) -> None:
        def done(_: object) -> None:
            change()  # type: ignore[operator]
            dispatch()

        env.timeout(delay).callbacks.append(done)

    def arrivals() -> simpy.events.ProcessGenerator:
        for gap in rng.exponential(1.0 / rate, requests):
            yield env.timeout(gap)
            queue.append(env.now)
            if max_wait_s > 0.0:
                at(max_wait_s, lambda: None)
            dispatch()

    env.process(arrivals())
    env.run()
    skipped = requests // 20
    return Simulated(
        np.array(waits[skipped:]),
        np.array(latencies[skipped:]),
        float(np.mean(sizes)),
        worked / (env.now * servers),
    )
