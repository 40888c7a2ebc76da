"""Least cost from each layer group to the end of a network, for weights of time and energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray, IntArray
from envs.mappings.costs import GroupCosts

#: Shares of relative time, the rest energy, whose best mappings are known before the front is.
SHARES = np.linspace(0.02, 0.98, 13)


@dataclass(frozen=True, eq=False)
class Steps:
    """The costs of single steps, each as a time and an energy, and what is bounded.

    Attributes:
        first: [2, A] of beginning on an accelerator, with the first group.
        step: [2, G, A, A] of a group on an accelerator (third axis of three) after the group before
            ran on another or the same (second axis).
        end: [2, A].
        levels: how many numbers of transitions are told apart; 1 where there is no bound.
        bounded: True if a transition leads to the next level, and none leaves the last one.
    """

    first: FloatArray
    step: FloatArray
    end: FloatArray
    levels: int
    bounded: bool

    @classmethod
    def of(cls, costs: GroupCosts, transitions: int | None) -> Steps:
        """Return the steps of a network with at most `transitions`, or any number for None."""
        first = [costs.start_s + costs.time_s[0], costs.start_j + costs.energy_j[0]]
        step = [
            costs.transition_s + costs.time_s[:, None, :],
            costs.transition_j + costs.energy_j[:, None, :],
        ]
        bounded = transitions is not None and transitions < costs.groups - 1
        levels = 1 + transitions if bounded and transitions is not None else 1
        end = _both_finite([costs.end_s, costs.end_j])
        return cls(_both_finite(first), _both_finite(step), end, levels, bounded)


def _both_finite(pair: list[FloatArray]) -> FloatArray:
    """Return times and energies [2, ...], both infinite where one of them is."""
    stacked = np.array(pair, dtype=np.float64)
    return np.where(np.isfinite(stacked).all(axis=0), stacked, np.inf)


@dataclass(frozen=True, eq=False)
class ToTheEnd:
    """Hold what a network still costs at least behind each of its groups.

    Attributes:
        weights: [W, 2] of time and energy: first (1, 0) and (0, 1), then `SHARES`.
        cost: [G, W, levels, A] behind a group that ran on an accelerator, after so many changes.
    """

    weights: FloatArray
    cost: FloatArray


def to_the_end(steps: Steps) -> ToTheEnd:
    """Return the least cost behind each group, for each of the weights."""
    weights = _weights(steps)
    groups, accelerators = steps.step.shape[1:3]
    step, end = _weighted(weights, steps.step), _weighted(weights, steps.end)
    cost = np.empty((groups, len(weights), steps.levels, accelerators))
    cost[-1] = end[:, None]
    for group in range(groups - 1, 0, -1):
        cost[group - 1] = _choices(step[:, group], cost[group], steps.bounded).min(axis=-1)
    return ToTheEnd(weights, cost)


def cheapest(steps: Steps, ends: ToTheEnd) -> IntArray:
    """Return the best mapping by each of the weights, [W, G] positions; fewer where none exist."""
    step, first = _weighted(ends.weights, steps.step), _weighted(ends.weights, steps.first)
    rows = np.arange(len(first))
    begin = first + ends.cost[0, :, 0]
    chosen = [begin.argmin(axis=-1)]
    level = np.zeros(len(rows), dtype=int)
    for group in range(1, len(ends.cost)):
        options = _choices(step[:, group], ends.cost[group], steps.bounded)
        at = options[rows, level, chosen[-1]].argmin(axis=-1)
        level += steps.bounded & (at != chosen[-1])
        chosen.append(at)
    found = np.isfinite(begin.min(axis=-1))
    return np.unique(np.stack(chosen, axis=1)[found], axis=0)


def _weights(steps: Steps) -> FloatArray:
    """Return the weights [W, 2], relative to the sum of the least times and of the least energies.

    The pure ones come first, and are not relative.
    """
    least = steps.step.min(axis=(2, 3)).sum(axis=1)
    scale = np.where(np.isfinite(least) & (least > 0), least, 1.0)
    mixed = np.stack([SHARES, 1 - SHARES], axis=1) / scale
    return np.concatenate([np.eye(2), mixed])


def _weighted(weights: FloatArray, pair: FloatArray) -> FloatArray:
    """Return [W, ...]: the weighted sums of times and energies [2, ...]."""
    finite = np.isfinite(pair[0])
    sums = np.tensordot(weights, np.where(finite, pair, 0.0), axes=1)
    return np.where(finite, sums, np.inf)


def _choices(step: FloatArray, behind: FloatArray, bounded: bool) -> FloatArray:
    """Return [W, levels, A, A]: going from one accelerator (third axis) to another one (last).

    Args:
        step: [W, A, A] of this group.
        behind: [W, levels, A] what follows.
        bounded: see `Steps`.
    """
    after = behind
    if bounded:
        after = np.concatenate([behind[:, 1:], np.full_like(behind[:, :1], np.inf)], axis=1)
    choices = step[:, None] + after[:, :, None, :]
    same = np.arange(step.shape[-1])
    choices[..., same, same] = step[:, None, same, same] + behind
    return choices
