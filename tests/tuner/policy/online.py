"""An online tuner on a recording, and windows for it."""

from __future__ import annotations

from dataclasses import replace

from envs.problems.problem import Problem
from envs.simulator.known_devices import model_for
from envs.spec import Configuration, Measurement, Objective
from envs.traces.reader import Trace
from tuner.policy.bundle import Bundle
from tuner.policy.online_tuner import OnlineTuner
from tuner.policy.thresholds import DEFAULT_THRESHOLDS as DEFAULT
from tuner.policy.window_history import DeviceHistory


def online_tuner(
    bundle: Bundle, trace: Trace, limit_ms: float, history: DeviceHistory | None = None
) -> OnlineTuner:
    space = trace.space
    problem = Problem(
        space, space.catalogue, Objective((limit_ms,)), space.default(), model=model_for(space)
    )
    return OnlineTuner(bundle, problem, history or DeviceHistory(DEFAULT), DEFAULT)


def taken(trace: Trace, configuration: Configuration) -> Measurement:
    outcome = trace.outcome(configuration)
    assert isinstance(outcome, Measurement)
    return outcome


def off(measured: Measurement, factor: float) -> Measurement:
    """Another window of the same, with another p99."""
    return replace(
        measured, tenants=(replace(measured.tenants[0], p99_ms=factor * measured.p99_ms[0]),)
    )
