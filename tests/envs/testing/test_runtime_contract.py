"""A small third-party runtime passes the contract; runtimes that break a promise fail it."""

from __future__ import annotations

import threading
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from envs.errors import ConfigurationError, RuntimeFault
from envs.runtimes.protocol import Transition
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Origin,
    TenantMeasurement,
)
from envs.testing.runtime_contract import RuntimeContract
from tests.worlds import space

BROKEN: dict[type[Tiny], str] = {}


class Tiny:
    """A runtime in forty lines: every instance gives 10 inferences a second."""

    origin = Origin.SIMULATED
    has_power = False

    def __init__(self) -> None:
        self.space: ConfigurationSpace = space(tenants=2, max_instances=2, batches=(1, 4))
        self.current: Configuration | None = None
        self.closed = False

    def apply(self, configuration: Configuration) -> Transition:
        self.check_open()
        try:
            self.space.check(configuration)
        except ConfigurationError as error:
            raise ConfigurationFailed(Failure(FailureKind.INVALID, str(error))) from None
        before = self.current.total_instances if self.current else 0
        kept = before if configuration == self.current else 0
        self.current = configuration
        return Transition(kept, configuration.total_instances - kept, before - kept, 0.0)

    def measure(self, window_s: float) -> Measurement:
        self.check_open()
        if self.current is None:
            raise RuntimeFault("measure: apply a configuration first")
        count = self.current.total_instances
        tenant = TenantMeasurement(10.0 * count, 80.0, 90.0, 100.0, 95.0, 105.0, 100)
        tenants = (tenant,) * self.space.shape[0]
        return Measurement(tenants, window_s, self.origin, threads=(1,) * count, measure_s=window_s)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Tiny:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def check_open(self) -> None:
        if self.closed:
            raise RuntimeFault("the runtime is closed")


class TestTiny(RuntimeContract):
    origin = Origin.SIMULATED

    @pytest.fixture
    def runtime(self) -> Tiny:
        return Tiny()


def caught_by(test: str) -> Any:
    """Register a broken runtime with the test of the contract that must fail for it."""

    def register(broken: type[Tiny]) -> type[Tiny]:
        BROKEN[broken] = test
        return broken

    return register


class Measuring(Tiny):
    """Changes what it measured."""

    def measure(self, window_s: float) -> Measurement:
        return self.broken(super().measure(window_s))

    def broken(self, measurement: Measurement) -> Measurement:
        raise NotImplementedError


@caught_by("test_measures_what_is_applied")
class TooFewTenants(Measuring):
    def broken(self, measurement: Measurement) -> Measurement:
        return replace(measurement, tenants=measurement.tenants[:1])


@caught_by("test_measures_what_is_applied")
class ThroughputThatIsNaN(Measuring):
    def broken(self, measurement: Measurement) -> Measurement:
        tenant = replace(measurement.tenants[0], throughput_ips=nan)
        return replace(measurement, tenants=(tenant, tenant))


@caught_by("test_measures_what_is_applied")
class TailBelowTheMedian(Measuring):
    def broken(self, measurement: Measurement) -> Measurement:
        tenant = replace(measurement.tenants[1], p99_ms=1.0)
        return replace(measurement, tenants=(measurement.tenants[0], tenant))


@caught_by("test_measures_what_is_applied")
class AnotherOrigin(Measuring):
    def broken(self, measurement: Measurement) -> Measurement:
        return replace(measurement, origin=Origin.MEASURED)


@caught_by("test_measures_what_is_applied")
class NoThreads(Measuring):
    def broken(self, measurement: Measurement) -> Measurement:
        return replace(measurement, threads=())


@caught_by("test_power_is_nan_without_a_sensor_and_its_limit_is_refused")
class PowerThatIsZero(Measuring):
    def broken(self, measurement: Measurement) -> Measurement:
        return replace(measurement, power_w=0.0)


@caught_by("test_measuring_before_applying_is_refused")
class MeasuresBeforeApplying(Tiny):
    def measure(self, window_s: float) -> Measurement:
        if self.current is None:
            return Measurement((), window_s, self.origin)
        return super().measure(window_s)


@caught_by("test_a_transition_counts_instances")
class AlwaysFromScratch(Tiny):
    def apply(self, configuration: Configuration) -> Transition:
        super().apply(configuration)
        return Transition(0, configuration.total_instances, 0, 0.0)


@caught_by("test_an_invalid_configuration_is_a_typed_failure")
class ErrorWithoutAType(Tiny):
    def apply(self, configuration: Configuration) -> Transition:
        self.space.check(configuration)
        return super().apply(configuration)


@caught_by("test_an_invalid_configuration_is_a_typed_failure")
class InvalidTakesThePlaceOfTheOldOne(Tiny):
    def apply(self, configuration: Configuration) -> Transition:
        try:
            return super().apply(configuration)
        finally:
            self.current = configuration


@caught_by("test_close_is_idempotent_and_final")
class ServesOnAfterClose(Tiny):
    def check_open(self) -> None:
        pass


@caught_by("test_close_is_idempotent_and_final")
class ClosesOnce(Tiny):
    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        super().close()


@caught_by("test_close_ends_every_thread")
class LeaksAThread(Tiny):
    end = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        self.end.clear()

    def apply(self, configuration: Configuration) -> Transition:
        threading.Thread(target=self.end.wait, daemon=True).start()
        return super().apply(configuration)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_the_contract_catches(broken: type[Tiny], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.testing.runtime_contract.TIMEOUT_S", 0.1)
    contract, test = TestTiny(), BROKEN[broken]
    runtime = broken()
    threads = {"threads": set(threading.enumerate())} if "thread" in test else {}
    caught = (AssertionError, pytest.fail.Exception, ConfigurationError, RuntimeError)
    with pytest.raises(caught):
        getattr(contract, test)(runtime=runtime, **threads)
    LeaksAThread.end.set()
