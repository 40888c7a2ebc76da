"""Runs shards of best-effort kernels in what critical kernels leave free.

The coordinator is asked whenever no shard is running. It knows the critical kernel that runs now
and when the next one is expected, and answers with one shard: beside the critical kernel, or in the
gap before the next. Only one shard is out at a time, so a critical kernel that comes early waits
for one shard at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from envs.kernels.space import Gpu, KernelWork, Shard, Space, design_space, ranked, shard_at
from envs.kernels.syntax import KernelError


@dataclass(frozen=True)
class Launch:
    """A shard of a kernel: logical blocks [first, last).

    Attributes:
        kernel: index of the kernel in the best-effort network.
        round: how often the network was run before.
        first: its first logical block.
        last: the one after its last.
        shard: how it is launched.
    """

    kernel: int
    round: int
    first: int
    last: int
    shard: Shard


@dataclass
class Coordinator:
    """Chooses shards of a best-effort network that is run again and again.

    Args:
        gpu: where all runs.
        network: the kernels, in their order.
        slowdown: a critical kernel's time may be this many times its own.
        longest_s: the longest that a shard may take, where a kernel can be cut so fine: `wait_s`.
        contention: see `envs.kernels.space.design_space`.
    """

    gpu: Gpu
    network: Sequence[KernelWork]
    slowdown: float = 1.1
    longest_s: float = 1e-3
    contention: float = 1.0
    round: int = 0
    kernel: int = 0
    done: int = 0
    _spaces: dict[tuple[int, KernelWork | None], tuple[Space, npt.NDArray[np.int64]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        rigid = [each.name for each in self.network if not each.versions]
        if rigid or not self.network:
            raise KernelError(
                f"kernel {rigid[0]} has no elastic version" if rigid else "the network is empty"
            )

    def next_launch(self, critical: KernelWork | None, until_s: float) -> Launch | None:
        """Return the next shard, and count it as done; None if none fits.

        Args:
            critical: the critical kernel that runs now; None in a gap.
            until_s: time to the end of the critical kernel, or of the gap; infinite if no
                critical kernel is expected.
        """
        shard = self._shard(critical, until_s)
        if shard is None:
            return None
        work = self.network[self.kernel]
        last = min(self.done + shard.length, work.blocks)
        launch = Launch(self.kernel, self.round, self.done, last, shard)
        self.done = last
        if last == work.blocks:
            self.done, self.kernel = 0, self.kernel + 1
            if self.kernel == len(self.network):
                self.kernel, self.round = 0, self.round + 1
        return launch

    @property
    def wait_s(self) -> float:
        """Return the longest that a critical kernel waits if all predictions hold.

        A kernel whose single blocks take longer than `longest_s` cannot be cut finer.
        """
        longest = [self.longest_s]
        for kernel in range(len(self.network)):
            space, order = self._ranked(kernel, None)
            longest += space.duration_s[order].tolist()
        return max(longest)

    def _shard(self, critical: KernelWork | None, until_s: float) -> Shard | None:
        """Return the shard that works off most blocks a second within a time."""
        space, order = self._ranked(self.kernel, critical)
        within = np.flatnonzero(space.duration_s[order] <= until_s)
        if not within.size:
            return None
        return shard_at(self.gpu, self.network[self.kernel], space, int(order[within[0]]))

    def _ranked(
        self, kernel: int, critical: KernelWork | None
    ) -> tuple[Space, npt.NDArray[np.int64]]:
        """Return the space of a kernel and its kept points, the best first."""
        key = (kernel, critical)
        if key not in self._spaces:
            work, allowed = self.network[kernel], (self.slowdown, self.contention)
            space = design_space(self.gpu, work, critical, self.longest_s, *allowed)
            order = ranked(space)
            if critical is None and not order.size:
                # Nothing is short enough: the shortest, so that the network is not stuck.
                space = design_space(self.gpu, work, None, math.inf, *allowed)
                kept = np.flatnonzero(space.pruned < 0)
                order = kept[np.lexsort((-space.length[kept], space.duration_s[kept]))][:1]
            self._spaces[key] = space, order
        return self._spaces[key]
