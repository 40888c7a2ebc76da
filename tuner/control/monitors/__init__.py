"""Monitors: each watches one thing that may change under a controller, and reports it as an event.

Each has its own state and an `update` that takes facts of a period and returns an event or None.
What follows from an event is decided in `tuner.control.conditions`.
"""

from collections.abc import Callable

from envs.spec import Workload
from tuner.control.monitors.arrivals import ArrivalsMonitor
from tuner.control.monitors.drift import DriftMonitor
from tuner.control.monitors.failures import FailureMonitor
from tuner.control.monitors.heat import HeatMonitor, PowerModeMonitor
from tuner.control.monitors.neighbour import NeighbourMonitor
from tuner.control.monitors.power import PowerMonitor
from tuner.policy.thresholds import Thresholds


class Monitors:
    """One of each."""

    def __init__(
        self, workload: Workload, thresholds: Thresholds, power_mode: Callable[[], str]
    ) -> None:
        self.power = PowerMonitor(thresholds)
        self.arrivals = ArrivalsMonitor(workload, thresholds)
        self.neighbour = NeighbourMonitor(thresholds)
        self.heat = HeatMonitor(thresholds)
        self.power_mode = PowerModeMonitor(power_mode)
        self.drift = DriftMonitor(thresholds)
        self.failures = FailureMonitor(thresholds)
