"""The result of trying a configuration: a measurement, or a failure with the reason as a type."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Optional, Union

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray
from envs.errors import TunerError


class Origin(str, Enum):
    """The origin of a number; every report prints it."""

    MEASURED = "measured"
    REPLAYED = "replayed"
    SIMULATED = "simulated"


class FailureKind(str, Enum):
    """The reason why a configuration could not be measured."""

    INVALID = "invalid"
    NOT_RECORDED = "not_recorded"
    OUT_OF_MEMORY = "out_of_memory"
    BUILD_FAILED = "build_failed"
    TIMED_OUT = "timed_out"
    THROTTLED = "throttled"
    INSTANCE_LOST = "instance_lost"
    WRONG_ANSWERS = "wrong_answers"


class Place(NamedTuple):
    """An instance in a configuration, by the indices of tenant and accelerator, and its batch."""

    tenant: int
    accelerator: int
    batch: int


@dataclass(frozen=True)
class Failure:
    """A configuration that could not be measured; its tuning cost counts all the same.

    Attributes:
        kind: for programs.
        reason: for people; it names the tenant, the accelerator and the batch where one failed.
        cost_s: seconds that were spent.
        place: the instance that failed; None where no single one did.
        fitted: where memory ended, the instances that there was memory for; None elsewhere.
    """

    kind: FailureKind
    reason: str
    cost_s: float = 0.0
    place: Optional[Place] = None
    fitted: Optional[int] = None


class ConfigurationFailed(TunerError):
    """A runtime could not apply or measure a configuration; it still serves the previous one."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind.value}: {failure.reason}")
        self.failure = failure


@dataclass(frozen=True)
class TenantMeasurement:
    """One tenant in one window; latencies count from the (intended) arrival to the answer.

    Attributes:
        throughput_ips: inferences per second.
        p50_ms, p95_ms, p99_ms: percentiles of the latency.
        p99_low_ms, p99_high_ms: interval of the 99th percentile, a 95 % bootstrap over batches
            (the requests of one batch are answered together).
        requests: answered in the window, of arrivals at a rate those that were due in it, answered
            or not; NaN where nobody published their number.
        agreement: how far the answers are those of FP32: the worst of the accelerators that serve
            the tenant (`envs.spec.Agreement`); NaN where it was not measured.
        agreement_samples: the number of samples behind it; 0 for the network as it is, NaN where it
            was not measured.
    """

    throughput_ips: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p99_low_ms: float
    p99_high_ms: float
    requests: float
    agreement: float = math.nan
    agreement_samples: float = math.nan


@dataclass(frozen=True)
class Measurement:
    """One window of one configuration. Missing is NaN, never 0.

    Attributes:
        tenants: [T].
        window_s: length of the common window.
        origin: measured, replayed or simulated.
        power_w: mean over the window of the rail or rails that `sensor` calls the total.
        energy_j: over the window.
        memory_mib: resident memory of the serving process at the end of the window. It lacks what
            the GPU's driver allocated for the process.
        gpu_free_mib: what the GPU's driver could still give then.
        available_mib: what the whole computer had left then without swapping.
        overlap: share of the window in which every instance was working.
        foreign_share: share of the cores' time that other processes used.
        disturbed: True if that share is too large to trust the window.
        threads: of each instance, in the order tenant, accelerator, instance.
        apply_s: seconds to apply the configuration.
        change_requests: requests that applying it delayed.
        change_j: joules that applying it took beside serving.
        measure_s: seconds of warm-up, window and drain together.
        sensor: name of the power sensor.
        rails_w: mean over the window, by rail.
        power_uncertainty_w: standard deviation of power_w, from sampling and the sensor's step.
        temperature_c: of the hottest place at the end of the window.
        throttled: the reasons why clocks were held back in the window: counters of over-current
            that moved, places too hot.
        sensor_fault: the reason why a sensor that has power gave no reading.
        latency_quantity: the quantity that `p99_ms` of the tenants holds: `p99`, or what stands in
            for it in a recording of measurements whose p99 was not published.
    """

    tenants: tuple[TenantMeasurement, ...]
    window_s: float
    origin: Origin
    power_w: float = math.nan
    energy_j: float = math.nan
    memory_mib: float = math.nan
    gpu_free_mib: float = math.nan
    available_mib: float = math.nan
    overlap: float = math.nan
    foreign_share: float = math.nan
    disturbed: bool = False
    threads: tuple[int, ...] = ()
    apply_s: float = math.nan
    change_requests: float = math.nan
    change_j: float = math.nan
    measure_s: float = math.nan
    sensor: str = "none"
    rails_w: dict[str, float] = field(default_factory=dict)
    power_uncertainty_w: float = math.nan
    temperature_c: float = math.nan
    throttled: tuple[str, ...] = ()
    sensor_fault: str = ""
    latency_quantity: str = "p99"

    @property
    def throughput_ips(self) -> FloatArray:
        """Return the throughput of each tenant, [T]."""
        return np.array([tenant.throughput_ips for tenant in self.tenants])

    @property
    def p99_ms(self) -> FloatArray:
        """Return the 99th percentile of each tenant's latency, [T]."""
        return np.array([tenant.p99_ms for tenant in self.tenants])

    @property
    def cost_s(self) -> float:
        """Return the seconds that trying this configuration took; NaN where nobody recorded any."""
        known = [each for each in (self.apply_s, self.measure_s) if not math.isnan(each)]
        return sum(known) if known else math.nan


Outcome = Union[Measurement, Failure]


@dataclass(frozen=True)
class MeasurementBatch:
    """Outcomes of B configurations as arrays; NaN where a configuration failed.

    Attributes:
        throughput_ips, p99_ms: [B, T].
        power_w, cost_s, energy_j: [B], the energy of the whole try.
        failed: [B].
    """

    throughput_ips: FloatArray
    p99_ms: FloatArray
    power_w: FloatArray
    cost_s: FloatArray
    energy_j: FloatArray
    failed: BoolArray

    def __len__(self) -> int:
        return len(self.failed)

    @property
    def logs(self) -> FloatArray:
        """Return the logarithms [Q, B]; NaN for what was not read, and in all of a failure."""
        read = np.where(self.power_w > 0, self.power_w, math.nan)
        quantities = np.concatenate([self.throughput_ips.T, self.p99_ms.T, read[None]])
        with np.errstate(divide="ignore"):
            return np.where(self.failed, math.nan, np.log(quantities))

    def take(self, rows: IntArray) -> MeasurementBatch:
        """Return the rows [B'] of this batch, which may repeat."""
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
        """Collect outcomes [B] of a workload with `tenants` tenants."""

        def rows(values: list[FloatArray]) -> FloatArray:
            return np.array(values).reshape(len(values), tenants)

        nothing = np.full(tenants, math.nan)
        ok = [outcome if isinstance(outcome, Measurement) else None for outcome in outcomes]
        power = np.array([each.power_w if each else math.nan for each in ok])
        cost = np.array([outcome.cost_s for outcome in outcomes])
        return cls(
            rows([each.throughput_ips if each else nothing for each in ok]),
            rows([each.p99_ms if each else nothing for each in ok]),
            power,
            cost,
            power * cost,
            np.array([each is None for each in ok]),
        )
