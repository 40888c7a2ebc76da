"""Worlds: what answers a batch of configurations. A trace is one; a live runtime, one configuration at a time, is another."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.configuration import Configuration, ConfigurationSpace, Placements
from envs.errors import ConfigurationError
from envs.measurement import MeasurementBatch, Origin
from envs.runtimes.protocol import Runtime, try_configuration
from envs.traces.reader import Trace


class Simulator(Protocol):
    """A pure, batched world.

    Attributes:
        candidates: [N, T, A, 2], the configurations it can answer for; an action is a row of it.
    """

    @property
    def space(self) -> ConfigurationSpace: ...

    @property
    def origin(self) -> Origin: ...

    @property
    def candidates(self) -> Placements: ...

    @property
    def has_power(self) -> bool: ...

    def respond(self, placements: npt.NDArray[np.integer], contexts: Any, noise: Any) -> MeasurementBatch:
        """Outcomes of placements [B, T, A, 2]."""
        ...

    def start(self) -> int:
        """The candidate that every episode measures first."""
        ...


class TraceWorld:
    """A trace as a world. It has no noise of its own: a configuration gives what was recorded, each time."""

    origin = Origin.REPLAYED

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.space = trace.space
        self.candidates = trace.placements
        self._batch = trace.batch
        nothing = np.full(trace.space.shape[0], np.nan)
        self._padded = MeasurementBatch(  # one row more, for what was not recorded
            np.vstack([self._batch.throughput_ips, nothing]),
            np.vstack([self._batch.p99_ms, nothing]),
            np.append(self._batch.power_w, np.nan),
            np.append(self._batch.cost_s, 0.0),
            np.append(self._batch.energy_j, 0.0),
            np.append(self._batch.failed, True),
        )

    @property
    def has_power(self) -> bool:
        return bool((self._batch.power_w > 0).any())

    @property
    def outcomes(self) -> MeasurementBatch:
        """Of every candidate, in their order."""
        return self._batch

    def respond(self, placements: npt.NDArray[np.integer], contexts: Any = None, noise: Any = None) -> MeasurementBatch:
        return self._padded.take(self.trace.find(placements))

    def start(self) -> int:
        return starting_row(self.space, self.candidates, self._batch.failed)


class RuntimeWorld:
    """A runtime as a world: each configuration is applied and measured in turn."""

    def __init__(self, runtime: Runtime, window_s: float) -> None:
        self.runtime = runtime
        self.space = runtime.space
        self.origin = runtime.origin
        self.candidates = runtime.space.catalogue
        self._window_s = window_s

    @property
    def has_power(self) -> bool:
        return self.runtime.has_power

    def respond(self, placements: npt.NDArray[np.integer], contexts: Any = None, noise: Any = None) -> MeasurementBatch:
        outcomes = [try_configuration(self.runtime, Configuration.of(row), self._window_s) for row in placements]
        return MeasurementBatch.of(outcomes, self.space.shape[0])

    def start(self) -> int:
        return starting_row(self.space, self.candidates, np.zeros(len(self.candidates), bool))


def starting_row(space: ConfigurationSpace, candidates: Placements, failed: npt.NDArray[np.bool_]) -> int:
    """The default among the candidates that work, or the smallest of them where it is missing: fewest instances, then smallest batch."""
    if failed.all():
        raise ConfigurationError("no configuration could be measured: there is nothing to start from")
    codes = space.codes(candidates)
    default = np.flatnonzero((codes == space.codes(space.default().array())) & ~failed)
    if len(default):
        return int(default[0])
    size = candidates[..., 0].sum(axis=(1, 2)) * 1e6 + candidates[..., 1].sum(axis=(1, 2))
    return int(np.where(failed, np.inf, size).argmin())
