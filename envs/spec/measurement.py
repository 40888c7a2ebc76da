"""What a configuration gave: a measurement, or a failure with the reason as a type."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Union

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.errors import TunerError


class Origin(str, Enum):
    """Where a number comes from; every report prints it."""

    MEASURED = "measured"
    REPLAYED = "replayed"
    SIMULATED = "simulated"


class FailureKind(str, Enum):
    """Why a configuration could not be measured."""

    INVALID = "invalid"
    NOT_RECORDED = "not_recorded"
    OUT_OF_MEMORY = "out_of_memory"
    BUILD_FAILED = "build_failed"
    TIMED_OUT = "timed_out"
    THROTTLED = "throttled"
    INSTANCE_LOST = "instance_lost"


@dataclass(frozen=True)
class Failure:
    """A configuration that could not be measured. Tuning cost is counted all the same."""

    kind: FailureKind
    reason: str
    cost_s: float = 0.0


class ConfigurationFailed(TunerError):
    """Raised by a runtime that cannot apply or measure a configuration; what was served before is served still."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind.value}: {failure.reason}")
        self.failure = failure


@dataclass(frozen=True)
class TenantMeasurement:
    """One tenant in one window. Latencies in ms, from the (intended) arrival to the answer.

    The interval of p99 is a 95 % bootstrap over batches: the requests of one batch share its fate.
    """

    throughput_ips: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p99_low_ms: float
    p99_high_ms: float
    requests: int


@dataclass(frozen=True)
class Measurement:
    """One window of one configuration. Missing is NaN, never 0.

    Attributes:
        tenants: [T].
        power_w: mean over the window of what `sensor` calls the total.
        energy_j: over the window.
        memory_mib: resident memory of the serving process at the end of the window.
        window_s: length of the common window.
        overlap: share of the window in which every instance was working.
        foreign_share: share of the cores' time that something else used.
        disturbed: whether that is too much to trust the window.
        threads: of each instance, in the order tenant, accelerator, instance.
        apply_s: what applying the configuration took; measure_s: warm-up, window and drain together.
        sensor: where power came from.
        rails_w: mean over the window, by rail.
        power_uncertainty_w: one standard deviation of power_w, from sampling and from the step of the sensor.
        temperature_c: of the hottest place at the end of the window.
        throttled: what held the clocks back in the window: counters of over-current that moved, places too hot. A window to be wary of.
        sensor_fault: why a sensor that has power told none.
    """

    tenants: tuple[TenantMeasurement, ...]
    window_s: float
    origin: Origin
    power_w: float = math.nan
    energy_j: float = math.nan
    memory_mib: float = math.nan
    overlap: float = math.nan
    foreign_share: float = math.nan
    disturbed: bool = False
    threads: tuple[int, ...] = ()
    apply_s: float = math.nan
    measure_s: float = math.nan
    sensor: str = "none"
    rails_w: dict[str, float] = field(default_factory=dict)
    power_uncertainty_w: float = math.nan
    temperature_c: float = math.nan
    throttled: tuple[str, ...] = ()
    sensor_fault: str = ""

    @property
    def throughput_ips(self) -> FloatArray:
        """[T]"""
        return np.array([tenant.throughput_ips for tenant in self.tenants])

    @property
    def p99_ms(self) -> FloatArray:
        """[T]"""
        return np.array([tenant.p99_ms for tenant in self.tenants])

    @property
    def cost_s(self) -> float:
        """Seconds that trying this configuration took."""
        return float(np.nansum([self.apply_s, self.measure_s]))


Outcome = Union[Measurement, Failure]


@dataclass(frozen=True)
class MeasurementBatch:
    """Outcomes of B configurations as arrays; NaN where a configuration failed.

    Attributes:
        throughput_ips, p99_ms: [B, T]. power_w, cost_s, energy_j: [B], energy being that of the whole try.
        failed: [B].
    """

    throughput_ips: FloatArray
    p99_ms: FloatArray
    power_w: FloatArray
    cost_s: FloatArray
    energy_j: FloatArray
    failed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.failed)

    def take(self, rows: npt.NDArray[np.integer]) -> MeasurementBatch:
        """The rows [B'] of this batch, with repetitions if asked."""
        return MeasurementBatch(
            self.throughput_ips[rows],
            self.p99_ms[rows],
            self.power_w[rows],
            self.cost_s[rows],
            self.energy_j[rows],
            self.failed[rows],
        )

    @classmethod
    def of(cls, outcomes: list[Outcome], tenants: int) -> MeasurementBatch:
        """From outcomes [B] of a workload with `tenants` tenants."""
        nothing = np.full(tenants, math.nan)
        ok = [outcome if isinstance(outcome, Measurement) else None for outcome in outcomes]
        power = np.array([each.power_w if each else math.nan for each in ok])
        cost = np.array([outcome.cost_s for outcome in outcomes])
        return cls(
            np.array([each.throughput_ips if each else nothing for each in ok]).reshape(
                len(ok), tenants
            ),
            np.array([each.p99_ms if each else nothing for each in ok]).reshape(len(ok), tenants),
            power,
            cost,
            power * cost,
            np.array([each is None for each in ok]),
        )
