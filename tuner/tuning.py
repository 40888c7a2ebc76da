"""Tune one problem: search with a few measurements, then confirm the answer with another one."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from envs.problems.problem import Problem
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    Measurement,
    Origin,
    Outcome,
    TenantMeasurement,
    rank,
)
from tuner.search.protocol import Tuner

#: Measurements kept for confirmation: one of the best, and one of another should it fail.
CONFIRMATIONS = 2

#: A 99th percentile over fewer requests than this is hardly more than the slowest of them.
FEW_REQUESTS = 20

#: Fewer measurements than this cannot be divided into a search and a confirmation.
FEWEST = 3


@dataclass(frozen=True)
class Answer:
    """The configuration that tuning found, and the measurement that confirmed it.

    Attributes:
        configuration: prints as its description, such as `cpu_fp32 2x4` (instances x batch).
        outcome: of the measurement that confirmed it; the search has not seen it.
        violation: of that outcome: the logarithm of measured over allowed; 0 where every limit is
            kept.
        tried: every configuration and its outcome, in the order of the measurements.
        searched: so many of them, the first ones, steered the search; the rest confirmed.
        problem: the device's configurations and the objective.
        complete: False where tuning was stopped: nothing confirmed the answer then, and `outcome`
            is that of the search.
    """

    configuration: Configuration
    outcome: Outcome
    violation: float
    tried: list[tuple[Configuration, Outcome]]
    searched: int
    problem: Problem
    complete: bool = True

    @property
    def limits_kept(self) -> bool:
        """Return True if the confirmation kept every limit."""
        return self.violation <= 0

    @property
    def networks(self) -> dict[str, TenantMeasurement]:
        """Return the measurement of each network, by name; empty for a failure."""
        if isinstance(self.outcome, Failure):
            return {}
        return dict(zip(self.problem.space.workload.names, self.outcome.tenants, strict=True))

    @property
    def throughput_ips(self) -> float:
        """Return the throughput of all networks together [inferences/s], NaN for a failure."""
        return sum(each.throughput_ips for each in self.networks.values()) or math.nan

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile of latency of the slowest network [ms], NaN for a failure."""
        return max((each.p99_ms for each in self.networks.values()), default=math.nan)

    @property
    def latency_quantity(self) -> str:
        """Return the quantity that `p99_ms` holds, see `Measurement.latency_quantity`."""
        return self.outcome.latency_quantity if isinstance(self.outcome, Measurement) else "p99"

    @property
    def power_w(self) -> float:
        """Return the power [W]; NaN where none was read."""
        return self.outcome.power_w if isinstance(self.outcome, Measurement) else math.nan

    @property
    def origin(self) -> str:
        """Return where the numbers come from: `measured`, `simulated` or `replayed`."""
        outcomes = [self.outcome, *(outcome for _, outcome in self.tried)]
        found = (each.origin.value for each in outcomes if isinstance(each, Measurement))
        return next(found, "nothing could be measured")

    def __str__(self) -> str:
        return (
            f"{self.configuration}: {self.throughput_ips:.1f} inferences/s,"
            f" {self.latency_quantity} {self.p99_ms:.1f} ms ({self.origin})"
        )

    def _agreements(self) -> dict[str, Any]:
        """Return the agreement of every pair that serves, by network and accelerator."""
        space, known = self.problem.space, self.problem.agreements
        found: dict[str, dict[str, Any]] = {}
        for tenant, column, _, _ in self.configuration.slots():
            if (tenant, column) in known:
                row = found.setdefault(space.workload.names[tenant], {})
                row[space.device.accelerator_names[column]] = known[tenant, column].to_dict()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return it as data for JSON, as `python -m tuner.export` reads it."""
        space, networks = self.problem.space, list(self.networks.values())
        return {
            "configuration": [
                {
                    "tenant": space.workload.names[tenant],
                    "accelerator": space.device.accelerator_names[accelerator],
                    "instances": instances,
                    "batch": batch,
                }
                for tenant, accelerator, instances, batch in self.configuration.slots()
            ],
            "device": space.device.name,
            "objective": self.problem.objective.describe(space.workload.names),
            "limits_kept": self.limits_kept,
            "throughput_ips": [each.throughput_ips for each in networks] or None,
            "p99_ms": [finite(each.p99_ms) for each in networks] or None,
            "requests": [finite(each.requests) for each in networks] or None,
            "few_requests": [few_requests(self.outcome, each) for each in networks] or None,
            "agreement": [finite(each.agreement) for each in networks] or None,
            "agreement_samples": [finite(each.agreement_samples) for each in networks] or None,
            "agreements": self._agreements(),
            "uncalibrated": space.uncalibrated(self.configuration),
            "latency_quantity": self.latency_quantity,
            "power_w": finite(self.power_w),
            "measurements": len(self.tried),
            "complete": self.complete,
            "origin": self.origin,
        }


class TuningStopped(KeyboardInterrupt):
    """Ctrl-C while tuning; holds the best answer so far, which nothing has confirmed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def finite(number: float) -> float | None:
    """Return the number, or None for NaN and infinity, which JSON does not know."""
    return number if math.isfinite(number) else None


def few_requests(outcome: Outcome, tenant: TenantMeasurement) -> bool:
    """Return True if the 99th percentile is over fewer than `FEW_REQUESTS` real requests."""
    simulated = isinstance(outcome, Measurement) and outcome.origin is Origin.SIMULATED
    return tenant.requests < FEW_REQUESTS and not simulated


def tune(
    tuner: Tuner,
    problem: Problem,
    measure: Callable[[Configuration], Outcome],
    measurements: int,
) -> Answer:
    """Search with all but `CONFIRMATIONS` of the measurements, then confirm the best.

    If it breaks a limit when it is measured again, the best of the rest is confirmed as well.
    Search and answer are measured separately, because the luckiest of several windows overestimates
    its configuration.

    Args:
        tuner: proposes configurations.
        problem: judges outcomes.
        measure: measures a configuration.
        measurements: at most so many.

    Raises:
        TuningStopped: Ctrl-C came, and something has been measured.
    """
    tried: list[tuple[Configuration, Outcome]] = []
    searched = max(2, measurements - CONFIRMATIONS)
    try:
        for _ in range(searched):
            configuration = labelled(problem.space, tuner.ask())
            outcome = measure(configuration)
            tried.append((configuration, outcome))
            tuner.tell(configuration, outcome)
        return _confirm(problem, measure, measurements, tried)
    except KeyboardInterrupt as stop:
        if not tried:
            raise
        raise TuningStopped(_best_so_far(problem, tried, searched)) from stop


def _confirm(
    problem: Problem,
    measure: Callable[[Configuration], Outcome],
    measurements: int,
    tried: list[tuple[Configuration, Outcome]],
) -> Answer:
    """Measure the best that was tried again, and return the answer; `tried` grows."""
    searched = len(tried)
    worth = {configuration: value(problem, outcome) for configuration, outcome in tried}
    confirmed: dict[Configuration, Outcome] = {}
    while len(tried) < measurements:
        choice = max(
            (each for each in worth if each not in confirmed), key=worth.__getitem__, default=None
        )
        if choice is None or any(worth[each] > worth[choice] for each in confirmed):
            break
        confirmed[choice] = measure(choice)
        tried.append((choice, confirmed[choice]))
        worth[choice] = value(problem, confirmed[choice])
        if worth[choice] >= 0:
            break
    best = max(confirmed, key=lambda each: worth[each])
    violation = problem.judge(confirmed[best])[1]
    return Answer(best, confirmed[best], violation, tried, searched, problem)


def _best_so_far(
    problem: Problem, tried: list[tuple[Configuration, Outcome]], searched: int
) -> Answer:
    """Return the best by the last window of each configuration, as an answer that is incomplete."""
    last = dict(tried)
    best = max(last, key=lambda each: value(problem, last[each]))
    violation = problem.judge(last[best])[1]
    return Answer(best, last[best], violation, tried, searched, problem, complete=False)


def value(problem: Problem, outcome: Outcome) -> float:
    """Return the value of an outcome: higher is better; below zero, a limit is broken."""
    if isinstance(outcome, Failure):
        return -1e9
    score, violation = problem.judge(outcome)
    return float(rank(score, violation))  # type: ignore[arg-type]


def labelled(space: ConfigurationSpace, configuration: Configuration) -> Configuration:
    """Return the configuration so that it prints as its description."""
    text, names = space.describe(configuration), space.workload.names
    return replace(
        configuration, label=text.removeprefix(f"{names[0]}: ") if len(names) == 1 else text
    )
