"""Arrivals change beyond their own noise, and a tenant without requests is not late."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from envs.spec import Configuration, Measurement, Workload
from tests.tuner.control.monitors.windows import SPACE, WINDOW
from tests.worlds import respond, space
from tuner.control.events import EventKind
from tuner.control.monitors.arrivals import ArrivalsMonitor, is_idle, without_idle
from tuner.policy.thresholds import DEFAULT_THRESHOLDS


def monitor(rate_ips: float) -> ArrivalsMonitor:
    tenant = replace(SPACE.workload.tenants[0], rate_ips=rate_ips)
    return ArrivalsMonitor(Workload((tenant,)), DEFAULT_THRESHOLDS)


def window(rate_ips: float) -> Measurement:
    requests = int(rate_ips * WINDOW.window_s)
    return replace(WINDOW, tenants=(replace(WINDOW.tenants[0], requests=requests),))


def test_arrivals_differ_only_beyond_their_own_noise() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(40.0 * 3.0, 2000)
    wary = ArrivalsMonitor(SPACE.workload, replace(DEFAULT_THRESHOLDS, arrivals_share=0.1))
    differences = [wary.difference(count / 3.0, 40.0, 3.0) for count in counts]
    at_once, twice = (np.mean(np.array(differences) > most) for most in (2.0, 1.0))
    assert at_once + twice**2 < 0.001
    assert monitor(40.0).difference(120.0, 40.0, 3.0) > 2.0


def test_a_burst_is_not_a_change_of_arrivals() -> None:
    arrivals = monitor(200.0)
    changed = [arrivals.update(window(rate)) is not None for rate in (210, 300, 200, 300, 310)]
    assert changed == [False, False, False, False, True]
    assert arrivals.update(window(310)) is None, "the new rate is assumed from then on"


def test_a_trebling_is_a_change_at_once() -> None:
    arrivals = monitor(200.0)
    event = arrivals.update(window(600))
    assert event is not None
    assert event.kind is EventKind.ARRIVALS_CHANGED
    assert "600 instead of 200" in event.text


def test_a_closed_loop_has_no_rate_to_change() -> None:
    arrivals = monitor(math.inf)
    assert arrivals.update(window(600)) is None
    assert arrivals.rates_ips == (math.inf,)


def test_a_tenant_without_requests_is_not_late_and_the_others_are_learned_from() -> None:
    pair = space(tenants=2)
    outcome = respond(pair, Configuration.of(pair.catalogue[40]))
    silent = replace(outcome.tenants[1], requests=0, throughput_ips=0.0, p99_ms=math.nan)
    quiet = replace(outcome, tenants=(outcome.tenants[0], silent))
    assert not is_idle(quiet)
    seen = without_idle(quiet, (math.inf, 30.0))
    assert seen.p99_ms.tolist() == [outcome.tenants[0].p99_ms, 0.0]
    assert seen.throughput_ips.tolist() == [outcome.tenants[0].throughput_ips, 30.0]
