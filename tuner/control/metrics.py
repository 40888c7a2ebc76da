"""Metrics for Prometheus on a loopback port, served by its own client library."""

import math
from typing import Any

from envs.errors import StorageError
from envs.optional import optional_import
from envs.spec import Configuration, ConfigurationSpace, Measurement
from tuner.control.guard import Phase
from tuner.control.period import Period


class Metrics:
    """Results of the last period, and counts since the start; names begin with `orin_tuner_`.

    Args:
        port: of 127.0.0.1; 0 for any that is free.
        space: of the device, whose tenants and accelerators are labels.

    Raises:
        DependencyError: prometheus-client is not installed.
        StorageError: the port is taken.
    """

    def __init__(self, port: int, space: ConfigurationSpace) -> None:
        library = optional_import("prometheus_client", "metrics")
        self._space = space
        registry = library.CollectorRegistry()

        def metric(kind: str, name: str, text: str, *labels: str) -> Any:
            return getattr(library, kind)(f"orin_tuner_{name}", text, labels, registry=registry)

        self._throughput_ips = metric(
            "Gauge", "throughput_inferences_per_second", "Of the last period", "tenant"
        )
        self._least_ips = metric(
            "Gauge", "throughput_limit_inferences_per_second", "0 for no limit", "tenant"
        )
        self._score = metric(
            "Gauge",
            "score",
            "What the goal makes large, of the last period, in the unit of the label; 0 where"
            " nothing was measured",
            "goal",
            "unit",
        )
        self._p99_s = metric("Gauge", "latency_p99_seconds", "Of the last period", "tenant")
        self._limit_s = metric(
            "Gauge", "latency_p99_limit_seconds", "Infinite for no limit", "tenant"
        )
        self._agreement = metric(
            "Gauge",
            "agreement",
            "With the answers of FP32, the worst accelerator that serves; NaN where not measured",
            "tenant",
        )
        self._agreement_samples = metric(
            "Gauge",
            "agreement_samples",
            "Samples behind the agreement; NaN where it was not measured",
            "tenant",
        )
        self._uncalibrated = metric(
            "Gauge", "uncalibrated", "1 where INT8 serves whose answers nobody judged", "tenant"
        )
        self._power_w = metric(
            "Gauge", "power_watts", "Of the last period; NaN where none is measured"
        )
        self._power_limit_w = metric("Gauge", "power_limit_watts", "Infinite for no limit")
        self._free_bytes = metric(
            "Gauge",
            "memory_free_bytes",
            "After the last period, as the GPU's driver and as the system tell it (MemAvailable, or"
            " what a limit on this process leaves)",
            "told_by",
        )
        self._instances = metric("Gauge", "instances", "Serving now", "tenant", "accelerator")
        self._batch = metric(
            "Gauge",
            "batch_size",
            "Of the instances serving now, 0 where there is none",
            "tenant",
            "accelerator",
        )
        self._periods = metric("Counter", "periods", "Control periods", "phase")
        self._broken = metric(
            "Counter",
            "limits_broken_periods",
            "Control periods in which a limit was broken, or nothing could be measured",
        )
        self._changes = metric(
            "Counter",
            "configuration_changes",
            "Configurations applied that differ from the one before",
        )
        self._change_cost = [
            (field, metric("Counter", name, text))
            for field, name, text in (
                ("apply_s", "change_seconds", "Spent on changes of the configuration"),
                ("change_requests", "change_requests_delayed", "Delayed by such changes"),
                ("change_j", "change_joules", "Beside serving; 0 where none are measured"),
            )
        ]
        self._lost = metric("Counter", "journal_lines_lost", "Periods that could not be written")
        self._decision_s = metric("Gauge", "decision_seconds", "Duration of the last decision")
        self._serving: Configuration | None = None
        self._counted_lost = 0
        for phase in Phase:
            self._periods.labels(phase.value)
        try:
            self._server, self._thread = library.start_http_server(
                port, addr="127.0.0.1", registry=registry
            )
        except (OSError, OverflowError) as error:
            raise StorageError(
                f"port {port} of 127.0.0.1 cannot be used ({error}): give another --metrics-port"
            ) from error

    @property
    def port(self) -> int:
        """Return the port that it really has."""
        return int(self._server.server_port)

    def show(self, period: Period, lost: int) -> None:
        """Show a period to the next scrape.

        Args:
            period: the last one.
            lost: lines that the journal lost since the start.
        """
        outcome = period.outcome if isinstance(period.outcome, Measurement) else None
        for tenant, name in enumerate(self._space.workload.names):
            result = outcome.tenants[tenant] if outcome else None
            self._throughput_ips.labels(name).set(result.throughput_ips if result else 0.0)
            self._p99_s.labels(name).set(result.p99_ms / 1e3 if result else math.nan)
            self._agreement.labels(name).set(result.agreement if result else math.nan)
            self._agreement_samples.labels(name).set(
                result.agreement_samples if result else math.nan
            )
            self._limit_s.labels(name).set(period.objective.p99_ms[tenant] / 1e3)
            least = period.objective.min_rate_ips
            self._least_ips.labels(name).set(least[tenant] if least else 0.0)
            used = {slot[:2] for slot in period.configuration.slots()}
            unjudged = any(owner == tenant for owner, _ in self._space.unjudged & used)
            self._uncalibrated.labels(name).set(float(unjudged))
            if outcome:
                self._show_instances(name, period.configuration.placements[tenant])
        goal = period.objective.goal
        self._score.clear()  # the limits' file may have changed the goal
        self._score.labels(goal.value, goal.unit).set(period.score)
        self._power_w.set(outcome.power_w if outcome else math.nan)
        for told_by, mib in (
            ("driver", outcome.gpu_free_mib if outcome else math.nan),
            ("system", outcome.available_mib if outcome else math.nan),
        ):
            self._free_bytes.labels(told_by).set(mib * 2**20)
        self._power_limit_w.set(period.objective.power_w)
        self._periods.labels(period.phase.value).inc()
        self._broken.inc(not period.kept)
        self._decision_s.set(period.decision_us / 1e6)
        self._lost.inc(lost - self._counted_lost)
        self._counted_lost = lost
        if outcome:
            for field, cost in self._change_cost:
                cost.inc(getattr(outcome, field) if getattr(outcome, field) > 0 else 0.0)
            self._changes.inc(self._serving not in (None, period.configuration))
            self._serving = period.configuration

    def _show_instances(self, name: str, placements: tuple[tuple[int, int], ...]) -> None:
        accelerators = self._space.device.accelerator_names
        for accelerator, (instances, batch) in zip(accelerators, placements, strict=True):
            self._instances.labels(name, accelerator).set(instances)
            self._batch.labels(name, accelerator).set(batch)

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
