"""A discrete-event simulation of requests that share one GPU, in four ways of sharing it.

A request takes its host time beside everybody else, then runs its pieces on the GPU one after the
other, and keeps its answer back for the time in which its kernels leave the GPU to others. The GPU
runs one piece at a time to its end. The ways differ in the pieces and in who goes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy


@dataclass(frozen=True)
class Client:
    """One instance with its requests.

    Attributes:
        host_s: of a batch, beside everybody else.
        work_s: on the GPU, which nobody else can use in that time.
        rest_s: on the GPU, beside others.
        pieces: into which its work is cut.
        first: the rank of its pieces, the lowest goes first.
        rate_ips: arrivals; infinite for a closed loop.
        even: True for arrivals at equal distances, False for Poisson arrivals.
        whole: True to keep the device for the whole request, host time included.
        gap_s: between two pieces, in which somebody else's may begin.
        batch: inferences of a request.
    """

    host_s: float
    work_s: float
    rest_s: float
    pieces: int = 1
    first: int = 0
    rate_ips: float = math.inf
    even: bool = False
    whole: bool = False
    gap_s: float = 0.0
    batch: int = 1


@dataclass
class Found:
    """Collect the seconds of each answered request of one client."""

    latencies_s: list[float] = field(default_factory=list)

    def rate_ips(self, seconds: float) -> float:
        """Return the answered requests a second."""
        return len(self.latencies_s) / seconds

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile of latency."""
        return 1e3 * float(np.quantile(self.latencies_s, 0.99))


def simulated(clients: list[Client], seconds: float, seed: int = 0) -> list[Found]:
    """Return what is seen of each client in this many simulated seconds."""
    world = simpy.Environment()
    gpu = simpy.PriorityResource(world, 1)
    found = [Found() for _ in clients]
    for number, (client, seen) in enumerate(zip(clients, found, strict=True)):
        rng = np.random.default_rng([seed, number])
        world.process(_requests(world, gpu, client, seen, rng))
    world.run(seconds)
    return found


def _requests(
    world: simpy.Environment,
    gpu: simpy.PriorityResource,
    client: Client,
    seen: Found,
    rng: np.random.Generator,
) -> Iterator[Any]:
    """Serve one request after the other; those that arrive meanwhile wait."""
    due = 0.0
    while True:
        if math.isinf(client.rate_ips):
            due = world.now
        else:
            gap = 1 / client.rate_ips
            due += gap if client.even else float(rng.exponential(gap))
            if due > world.now:
                yield world.timeout(due - world.now)
        yield from _served(world, gpu, client)
        seen.latencies_s.append(world.now - due)


def _served(world: simpy.Environment, gpu: simpy.PriorityResource, client: Client) -> Iterator[Any]:
    if client.whole:
        with gpu.request(client.first) as turn:
            yield turn
            yield world.timeout(client.host_s + client.work_s + client.rest_s)
        return
    yield world.timeout(client.host_s)
    for piece in range(client.pieces):
        if piece and client.gap_s:
            yield world.timeout(client.gap_s)
        with gpu.request(client.first) as turn:
            yield turn
            yield world.timeout(client.work_s / client.pieces)
    yield world.timeout(client.rest_s)
