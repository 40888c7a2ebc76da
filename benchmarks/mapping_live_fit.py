"""Fit what layer groups cost on each accelerator of this computer to a few measured mappings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from envs.arrays import FloatArray
from envs.graph.partition import Partition
from envs.mappings.costs import GroupCosts
from envs.spec.mapping import Mapping as LayerMapping

#: Relative standard deviations: of the time of a whole network, and of one of several parts, which
#: other parts beside them change; of what a group costs beside its share of the
#: multiply-accumulates and moved numbers; of what a part costs besides its groups.
WHOLE, PIECE, GROUP, PART = 0.02, 0.05, 0.5, 5.0

#: What a part costs besides its groups before anything is measured: a call of a session [s], and a
#: byte that reaches it or leaves it [s].
CALL_S, BYTE_S = 20e-6, 2e-10


@dataclass(frozen=True)
class Measured:
    """A mapping that was measured.

    Attributes:
        mapping: its parts.
        parts_s: [P] median time of each part.
    """

    mapping: LayerMapping
    parts_s: tuple[float, ...]

    @property
    def time_s(self) -> float:
        """Return the time of a batch."""
        return sum(self.parts_s)


@dataclass(frozen=True)
class Fitted:
    """Costs that were fitted, and how sure they are.

    Attributes:
        costs: of groups and transitions; their energy is their time.
        covariance: [U, U] of the unknowns, in seconds squared.
        row_of: returns what of the unknowns counts in the time of a mapping [U].
    """

    costs: GroupCosts
    covariance: FloatArray
    row_of: Callable[[LayerMapping], FloatArray]

    def time_s(self, mapping: LayerMapping) -> float:
        """Return the time of a batch on a mapping."""
        chosen = [
            self.costs.accelerators.index(each) for each in mapping.by_group(self.costs.groups)
        ]
        return self.costs.of(chosen)[0]

    def deviation_s(self, first: LayerMapping, second: LayerMapping) -> float:
        """Return the standard deviation of the difference of two mappings' times."""
        row = self.row_of(first) - self.row_of(second)
        return float(np.sqrt(row @ self.covariance @ row))


def fit(
    network: str, partition: Partition, accelerators: Sequence[str], measured: Sequence[Measured]
) -> Fitted:
    """Return the costs of groups and transitions that agree best with what was measured.

    A part costs what its groups cost on its accelerator, a call, and something for each byte that
    reaches it or leaves it. Each whole network must have been measured; the groups' shares of it
    are those of their multiply-accumulates and moved numbers, unless parts say otherwise.

    Args:
        network: its name.
        partition: its G groups.
        accelerators: [A] names.
        measured: mappings, among them the whole network on each accelerator.
    """
    groups, count = len(partition.groups), len(accelerators)
    shares = np.array([each.cost for each in partition.groups])
    shares = np.maximum(shares, 1e-3 * shares.sum() / groups) / shares.sum()
    bytes_in = np.array([each.bytes_in for each in partition.groups])
    whole = {
        each.mapping.accelerators[0]: each.time_s for each in measured if not each.mapping.stops
    }
    totals = np.array([whole[name] for name in accelerators])
    prior = np.concatenate(
        [np.outer(shares, totals).ravel(), np.full(count, CALL_S), np.full(2 * count, BYTE_S)]
    )
    known = np.concatenate([np.full(groups * count, GROUP), np.full(3 * count, PART)])
    rows, values = [np.diag(1 / known)], [1 / known]
    for each in measured:
        for row, time_s in _rows(each, groups, accelerators, bytes_in):
            # Unknowns are relative to the prior, times to what was measured.
            deviation = PIECE if each.mapping.stops else WHOLE
            rows.append((row * prior / (deviation * time_s))[None])
            values.append(np.array([1 / deviation]))
    matrix = np.concatenate(rows)
    found = lsq_linear(matrix, np.concatenate(values), bounds=(0, np.inf)).x * prior
    covariance = np.linalg.inv(matrix.T @ matrix) * np.outer(prior, prior)

    def row_of(mapping: LayerMapping) -> FloatArray:
        parts = Measured(mapping, (0.0,) * len(mapping.accelerators))
        return np.sum([row for row, _ in _rows(parts, groups, accelerators, bytes_in)], axis=0)

    time_s = found[: groups * count].reshape(groups, count)
    call_s, enter_s, leave_s = found[groups * count :].reshape(3, count)
    entering_s, leaving_s = call_s + np.outer(bytes_in, enter_s), np.outer(bytes_in, leave_s)
    costs = _costs(network, partition, accelerators, time_s, entering_s, leaving_s)
    return Fitted(costs, covariance, row_of)


def _rows(
    each: Measured, groups: int, accelerators: Sequence[str], bytes_in: FloatArray
) -> list[tuple[FloatArray, float]]:
    """Return what counts in each part of a measured mapping, and the time of the part."""
    count, bounds = len(accelerators), (0, *each.mapping.stops, groups)
    rows = []
    for part, name in enumerate(each.mapping.accelerators):
        row, at = np.zeros(groups * count + 3 * count), accelerators.index(name)
        used = row[: groups * count].reshape(groups, count)
        used[bounds[part] : bounds[part + 1], at] = 1
        row[groups * count + at] = 1
        row[groups * count + count + at] = bytes_in[bounds[part]]
        if bounds[part + 1] < groups:
            row[groups * count + 2 * count + at] = bytes_in[bounds[part + 1]]
        rows.append((row, each.parts_s[part]))
    return rows


def _costs(
    network: str,
    partition: Partition,
    accelerators: Sequence[str],
    time_s: FloatArray,
    entering_s: FloatArray,
    leaving_s: FloatArray,
) -> GroupCosts:
    """Return costs whose energy is their time.

    All are [G, A]: of the groups, of entering a part there, and of leaving the part before it.
    """
    count = len(accelerators)
    transition_s = leaving_s[:, :, None] + entering_s[:, None, :]
    transition_s[:, np.arange(count), np.arange(count)] = 0
    transition_s[0] = 0
    none = np.zeros(count)
    return GroupCosts(
        network,
        tuple(accelerators),
        1,
        time_s,
        time_s,
        np.zeros_like(time_s),
        transition_s,
        transition_s,
        entering_s[0],
        entering_s[0],
        none,
        none,
        np.array([each.layers.macs.size for each in partition.groups]),
        np.array([each.bytes_in for each in partition.groups]),
    )


def among(costs: GroupCosts, names: Sequence[str]) -> GroupCosts:
    """Return the costs on some of the accelerators."""
    at = [costs.accelerators.index(name) for name in names]
    pairs = np.ix_(range(costs.groups), at, at)
    fields: Mapping[str, FloatArray] = {
        **{key: getattr(costs, key)[:, at] for key in ("time_s", "energy_j", "bytes")},
        **{key: getattr(costs, key)[pairs] for key in ("transition_s", "transition_j")},
        **{key: getattr(costs, key)[at] for key in ("start_s", "start_j", "end_s", "end_j")},
    }
    return GroupCosts(
        costs.network,
        tuple(names),
        costs.batch,
        **fields,
        layers=costs.layers,
        crossing_bytes=costs.crossing_bytes,
    )
