"""A model of one GPU on which critical requests and a best-effort network meet.

It is a model: nothing in it was measured. Critical requests run their kernels one after another.
Ways to run best effort beside them:

- `alone`: no best effort.
- `sequential`: one queue; a best-effort network that has begun is finished first.
- `streams`: whole best-effort kernels in a stream of lower priority. They take the GPU while no
  critical kernel runs, between two of a request too. A critical kernel gets their places as blocks
  end, after half a wave on average; the rest of their blocks take what it leaves free.
- `barrier`: kernels of both are launched in pairs, and the next pair waits for both.
- `elastic`: shards of the coordinator.

Two kernels on the same SMs share them by their warps. The critical one takes longer by
`contention` times the best-effort warps over its own; the best-effort one gets the share of its
warps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from envs.kernels.coordinator import Coordinator, Launch
from envs.kernels.occupancy import Room, fitting, footprint, whole
from envs.kernels.space import Gpu, KernelWork

POLICIES = ("alone", "sequential", "streams", "barrier", "elastic")
_NOTHING = Room(0, 0, 0, 0)
_EPSILON_S = 1e-12


@dataclass(frozen=True)
class Mix:
    """Critical requests and the best-effort network beside them.

    Attributes:
        critical: kernels of a critical request.
        arrivals_s: when requests come, in order; NaN: when the one before is over.
        best_effort: kernels of the network that is run again and again.
        foreseen: True if the coordinator knows when the next request comes.
        errors: actual time of the n-th critical kernel over the predicted one; repeated.
    """

    critical: Sequence[KernelWork]
    arrivals_s: Sequence[float]
    best_effort: Sequence[KernelWork]
    foreseen: bool = True
    errors: Sequence[float] = (1.0,)


@dataclass
class Outcome:
    """Hold what a policy gave in the model.

    Attributes:
        latencies_s: from arrival to end, of each critical request.
        waits_s: what critical kernels waited for room, of each that waited.
        rounds: best-effort networks that were run, with parts.
        span_s: time to the end of the last critical request.
        launches: shards of `elastic`, with the time of their begin.
    """

    latencies_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    rounds: float = 0.0
    span_s: float = 0.0
    launches: list[tuple[float, Launch]] = field(default_factory=list)


@dataclass
class _Piece:
    """A best-effort kernel or shard that is on the GPU.

    Attributes:
        work: the kernel.
        left_s: what is left of it, at rate 1.
        rate: progress a second; 0 while it has no room.
        room: what it takes of each SM.
        share: part of the network that it completes.
    """

    work: KernelWork
    left_s: float
    rate: float
    room: Room
    share: float

    @property
    def end_s(self) -> float:
        """Return the time to its end if nothing changes."""
        return self.left_s / self.rate if self.rate else math.inf


def simulate(
    gpu: Gpu,
    mix: Mix,
    policy: str,
    coordinator: Coordinator | None = None,
    contention: float = 1.0,
) -> Outcome:
    """Return what a policy gives in the model.

    Args:
        gpu: where all runs.
        mix: what runs.
        policy: one of `POLICIES`.
        coordinator: of the policy `elastic`, fresh.
        contention: see `envs.kernels.space.design_space`; the true one.
    """
    return _Model(gpu, mix, policy, coordinator, contention).run()


class _Model:
    def __init__(
        self, gpu: Gpu, mix: Mix, policy: str, coordinator: Coordinator | None, contention: float
    ) -> None:
        self._gpu, self._mix, self._policy = gpu, mix, policy
        self._coordinator, self._contention = coordinator, contention
        self._outcome, self._now_s = Outcome(), 0.0
        self._piece: _Piece | None = None
        self._errors = cycle(mix.errors)
        self._next = 0
        self._network_s = sum(each.duration_s for each in mix.best_effort)

    def run(self) -> Outcome:
        for arrival_s in self._mix.arrivals_s:
            arrival = self._now_s if math.isnan(arrival_s) else arrival_s
            self._idle(arrival)
            while self._policy == "sequential" and (self._piece is not None or self._next):
                self._idle_step(math.inf)
            for kernel in self._mix.critical:
                self._advance(self._gpu.launch_s)
                self._make_room(kernel)
                self._critical(kernel)
            self._outcome.latencies_s.append(self._now_s - arrival)
        self._outcome.span_s = self._now_s
        return self._outcome

    def _idle(self, until_s: float) -> None:
        """Let best effort run until a critical request comes."""
        while self._now_s < until_s:
            self._idle_step(until_s)

    def _idle_step(self, until_s: float) -> None:
        foreseen = until_s - self._now_s if self._mix.foreseen else math.inf
        if self._piece is None and not self._start(None, foreseen):
            self._now_s = until_s
            return
        assert self._piece is not None
        self._advance(min(until_s - self._now_s, self._piece.end_s))

    def _advance(self, step_s: float) -> None:
        self._now_s += step_s
        piece = self._piece
        if piece is not None:
            piece.left_s -= step_s * piece.rate
            if piece.left_s <= _EPSILON_S:
                self._outcome.rounds += piece.share
                self._piece = None

    def _make_room(self, work: KernelWork) -> None:
        """Wait until a critical kernel can begin."""
        piece, begun_s = self._piece, self._now_s
        if piece is None:
            return
        free = whole(self._gpu.limits) - piece.room
        fits = free.holds(work.room(self._gpu))
        if self._policy == "streams" and not fits:
            self._advance(min(piece.work.wave_s(self._gpu) / 2, piece.end_s))
            if self._piece is not None:
                self._place_beside(self._piece, work)
        elif self._policy == "barrier" or not fits:
            self._advance(piece.end_s)
        if self._now_s > begun_s:
            self._outcome.waits_s.append(self._now_s - begun_s)

    def _critical(self, work: KernelWork) -> None:
        """Run one critical kernel, with what best effort does meanwhile."""
        left_s = work.duration_s * next(self._errors)
        end_s = self._now_s + work.duration_s  # as predicted
        busy = work.room(self._gpu).warps
        paired = self._policy == "barrier" and self._start(work, math.inf)
        while left_s > _EPSILON_S:
            if self._piece is None and self._policy in ("streams", "elastic"):
                self._start(work, end_s - self._now_s)
            piece = self._piece
            slow = 1 + (self._contention * piece.room.warps / busy if piece else 0.0)
            step_s = min(left_s * slow, piece.end_s if piece else math.inf)
            left_s -= step_s / slow
            end_s += step_s * (1 - 1 / slow)
            self._advance(step_s)
        if self._piece is not None and self._policy in ("streams", "barrier"):
            # Its blocks take the places of the critical kernel.
            self._piece.rate, self._piece.room = 1.0, self._piece.work.room(self._gpu)
            if paired:
                self._advance(self._piece.end_s)

    def _start(self, critical: KernelWork | None, until_s: float) -> bool:
        """Launch a piece of best effort; False if there is none that fits."""
        if self._policy == "alone":
            return False
        if self._policy == "elastic":
            return self._start_shard(critical, until_s)
        work = self._mix.best_effort[self._next]
        self._next = (self._next + 1) % len(self._mix.best_effort)
        left_s = self._gpu.launch_s + work.duration_s
        room = work.room(self._gpu)
        self._piece = _Piece(work, left_s, 1.0, room, work.duration_s / self._network_s)
        if critical is not None:
            self._place_beside(self._piece, critical)
        return True

    def _start_shard(self, critical: KernelWork | None, until_s: float) -> bool:
        assert self._coordinator is not None
        launch = self._coordinator.next_launch(critical, until_s)
        if launch is None:
            return False
        work = self._mix.best_effort[launch.kernel]
        part = (launch.last - launch.first) / work.blocks * work.duration_s / self._network_s
        self._piece = _Piece(work, launch.shard.duration_s, 1.0, launch.shard.room, part)
        self._outcome.launches.append((self._now_s, launch))
        return True

    def _place_beside(self, piece: _Piece, critical: KernelWork) -> None:
        """Give a best-effort kernel the room that a critical one leaves."""
        taken = critical.room(self._gpu)
        left = whole(self._gpu.limits) - taken
        one = footprint(self._gpu.limits, piece.work.needs)
        assert one is not None
        blocks = min(
            fitting(self._gpu.limits, piece.work.needs, left), piece.work.resident(self._gpu)
        )
        piece.room = one.times(blocks) if blocks else _NOTHING
        piece.rate = piece.room.warps / (piece.room.warps + taken.warps)
