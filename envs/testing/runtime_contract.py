"""The contract of a runtime, as tests."""

import threading
import time

import numpy as np
import pytest

from envs.errors import ConfigurationError, ObjectiveError, RuntimeFault
from envs.runtimes.protocol import Runtime, check_objective, try_configuration
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Objective,
    Origin,
)

#: How long a thread may live after `close`.
TIMEOUT_S = 5.0


class RuntimeContract:
    """Tests that every runtime passes.

    To test a runtime of your own, subclass this in a test module and give the fixture `runtime`;
    pytest then collects the tests below for it:

        class TestMyRuntime(RuntimeContract):
            origin = Origin.MEASURED

            @pytest.fixture
            def runtime(self, tmp_path):
                return MyRuntime(...)

    Its space must allow at least two instances and a batch larger than the smallest, and the
    runtime must be able to serve `first` and `second`. The tests close it.

    Attributes:
        origin: the origin that its measurements must have.
        window_s: the length of the windows that are measured.
    """

    origin = Origin.MEASURED
    window_s = 0.2

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Give a new runtime that is open and has applied nothing."""
        raise NotImplementedError(f"{type(self).__name__} must define the fixture `runtime`")

    @pytest.fixture
    def threads(self) -> set[threading.Thread]:
        """Give the threads that run before the runtime is made."""
        return set(threading.enumerate())

    def first(self, space: ConfigurationSpace) -> Configuration:
        """Return a configuration that the runtime can serve: the default of the space."""
        return space.default()

    def second(self, space: ConfigurationSpace) -> Configuration:
        """Return another one, with more instances than `first`."""
        first = self.first(space)
        for index in np.ndindex(*space.shape):
            placements = first.array()
            placements[index] = placements[index][0] + 1, space.batches[-1]
            with_one_more = Configuration.of(placements)
            try:
                space.check(with_one_more)
            except ConfigurationError:
                continue
            return with_one_more
        raise NotImplementedError("the space has no larger configuration: override `second`")

    def _window(self, runtime: Runtime) -> Measurement:
        """Measure, again if a tenant got nothing: best effort waits while a device is busy."""
        for _ in range(60):
            measurement = runtime.measure(self.window_s)
            if all(tenant.throughput_ips > 0 for tenant in measurement.tenants):
                break
        return measurement

    def test_measures_what_is_applied(self, runtime: Runtime) -> None:
        """A measurement has its origin, one entry a tenant, throughput, and ordered latencies."""
        space = runtime.space
        with runtime:
            for configuration in (self.first(space), self.second(space)):
                assert runtime.apply(configuration).apply_s >= 0
                measurement = self._window(runtime)
                assert measurement.origin is self.origin is runtime.origin
                assert len(measurement.tenants) == space.shape[0]
                assert len(measurement.threads) == configuration.total_instances
                assert measurement.window_s > 0
                assert measurement.cost_s > 0
                for tenant in measurement.tenants:
                    assert 0 < tenant.throughput_ips < np.inf
                    assert 0 < tenant.p50_ms <= tenant.p95_ms <= tenant.p99_ms < np.inf

    def test_a_transition_counts_instances(self, runtime: Runtime) -> None:
        """The counts add up to the instances of the new configuration and of the old one."""
        before = 0
        with runtime:
            for configuration in (self.first(runtime.space), self.second(runtime.space)) * 2:
                change = runtime.apply(configuration)
                assert change.kept + change.created == configuration.total_instances
                assert change.kept + change.removed == before
                before = configuration.total_instances
                again = runtime.apply(configuration)
                assert (again.kept, again.created, again.removed) == (before, 0, 0)

    def test_an_invalid_configuration_is_a_typed_failure(self, runtime: Runtime) -> None:
        """It raises ConfigurationFailed, of the kind INVALID, and the old one stays live."""
        first = self.first(runtime.space)
        invalid = Configuration.of(first.array() + np.array([999, 0], np.int16))
        with runtime:
            runtime.apply(first)
            with pytest.raises(ConfigurationFailed) as error:
                runtime.apply(invalid)
            assert error.value.failure.kind is FailureKind.INVALID
            assert len(runtime.measure(self.window_s).threads) == first.total_instances
            assert isinstance(try_configuration(runtime, invalid, self.window_s), Failure)

    def test_measuring_before_applying_is_refused(self, runtime: Runtime) -> None:
        """It raises RuntimeFault."""
        with runtime, pytest.raises(RuntimeFault, match="apply a configuration first"):
            runtime.measure(self.window_s)

    def test_close_is_idempotent_and_final(self, runtime: Runtime) -> None:
        """Leaving a `with` block closes; every later call raises RuntimeFault."""
        first = self.first(runtime.space)
        with runtime:
            runtime.apply(first)
        runtime.close()
        with pytest.raises(RuntimeFault, match="closed"):
            runtime.apply(first)
        with pytest.raises(RuntimeFault, match="closed"):
            runtime.measure(self.window_s)

    def test_close_ends_every_thread(
        self, threads: set[threading.Thread], runtime: Runtime
    ) -> None:
        """No thread that the runtime started is alive five seconds after `close`."""
        with runtime:
            runtime.apply(self.second(runtime.space))
            runtime.measure(self.window_s)
        assert_ended(set(threading.enumerate()) - threads)

    def test_power_is_nan_without_a_sensor_and_its_limit_is_refused(self, runtime: Runtime) -> None:
        """`has_power` says whether measurements hold watts."""
        with runtime:
            outcome = try_configuration(runtime, self.first(runtime.space), self.window_s)
            assert isinstance(outcome, Measurement)
            assert runtime.has_power == bool(np.isfinite(outcome.power_w))
            if not runtime.has_power:
                limited = Objective((1e6,) * runtime.space.shape[0], 10.0)
                with pytest.raises(ObjectiveError, match="no power is measured"):
                    check_objective(runtime, limited)


def assert_ended(threads: set[threading.Thread]) -> None:
    """Fail unless all of `threads` end within TIMEOUT_S."""
    deadline_s = time.monotonic() + TIMEOUT_S
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
        assert not thread.is_alive(), f"the thread {thread.name} outlives close()"
