"""Some tenants of a service are active: their part of the runtime, seen as a runtime of its own."""

from __future__ import annotations

from collections.abc import Sequence

from envs.runtimes.protocol import Closing, Runtime, Transition
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Origin,
)
from envs.spec.some_tenants import (
    configuration_of_tenants,
    outcome_of_tenants,
    whole_configuration,
)
from tuner.model_at import at_rates


class ActiveTenants(Closing):
    """Shows the active tenants [T'] of a runtime of T tenants; the others have no instance.

    Belief, policy, guard and judge see an ordinary space of T' tenants. Several may stand in front
    of one runtime: the last one that applied a configuration is the one that measures.

    Args:
        runtime: of all tenants; the others must be optional in its space.
        active: ascending indices [T'] of the tenants that are served.
        rates_ips: [T], the arrivals to expect; None for those of the runtime's space.
    """

    def __init__(
        self, runtime: Runtime, active: Sequence[int], rates_ips: Sequence[float] | None = None
    ) -> None:
        self._runtime, self.active = runtime, tuple(active)
        whole = runtime.space if rates_ips is None else at_rates(runtime.space, tuple(rates_ips))
        self._total = whole.shape[0]
        self._space = whole.of_tenants(self.active)

    @property
    def space(self) -> ConfigurationSpace:
        """Return the configurations of the active tenants."""
        return self._space

    @property
    def origin(self) -> Origin:
        """Return the origin of every measurement."""
        return self._runtime.origin

    @property
    def has_power(self) -> bool:
        """Return True if measurements hold watts."""
        return self._runtime.has_power

    def apply(self, configuration: Configuration) -> Transition:
        """Serve the active tenants with `configuration`, and the others with nothing.

        Raises:
            ConfigurationFailed: it is invalid or cannot be loaded; the old one stays live.
        """
        rows = configuration.placements
        served = {tenant for tenant, _, _, _ in configuration.slots()}
        if len(rows) != len(self.active) or len(served) != len(rows):
            reason = f"each of the {len(self.active)} active tenants needs an instance"
            raise ConfigurationFailed(Failure(FailureKind.INVALID, reason))
        try:
            return self._runtime.apply(self.whole(configuration))
        except ConfigurationFailed as error:
            raise self._own(error) from error

    def measure(self, window_s: float) -> Measurement:
        """Measure the active tenants over at least `window_s` seconds.

        Raises:
            ConfigurationFailed: an instance was lost or did not answer in time.
            RuntimeFault: nothing was applied before.
        """
        try:
            found = outcome_of_tenants(self._runtime.measure(window_s), self.active)
        except ConfigurationFailed as error:
            raise self._own(error) from error
        assert isinstance(found, Measurement), "the part of a measurement is one"
        return found

    def whole(self, configuration: Configuration) -> Configuration:
        """Return a configuration of the active tenants as one of all tenants."""
        return whole_configuration(configuration, self.active, self._total)

    def part(self, configuration: Configuration) -> Configuration:
        """Return the part of the active tenants of a configuration of all tenants."""
        return configuration_of_tenants(configuration, self.active)

    def close(self) -> None:
        """Release everything that the runtime holds."""
        self._runtime.close()

    def _own(self, error: ConfigurationFailed) -> ConfigurationFailed:
        """Return the error of a failure, by the indices of the active tenants."""
        failure = outcome_of_tenants(error.failure, self.active)
        assert not isinstance(failure, Measurement), "the part of a failure is one"
        return ConfigurationFailed(failure)
