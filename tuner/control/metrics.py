"""Metrics for Prometheus on a loopback port, by its own client library."""

from __future__ import annotations

import math
from typing import Any

from envs.errors import StorageError
from envs.optional import optional_import
from envs.spec.measurement import Measurement
from envs.spec.space import Configuration, ConfigurationSpace
from tuner.control.guard import Phase
from tuner.control.period import Period


class Metrics:
    """What the last period gave, and counts since the start, under names that begin with `orin_tuner_`.

    Raises:
        DependencyError: prometheus-client is not installed. StorageError: the port is taken.
    """

    def __init__(self, port: int, space: ConfigurationSpace) -> None:
        library = optional_import("prometheus_client", "metrics")
        self._space = space
        registry = library.CollectorRegistry()

        def made(kind: str, name: str, text: str, labels: tuple[str, ...] = ()) -> Any:
            return getattr(library, kind)(f"orin_tuner_{name}", text, labels, registry=registry)

        self._throughput = made(
            "Gauge", "throughput_inferences_per_second", "Of the last period", ("tenant",)
        )
        self._p99 = made("Gauge", "latency_p99_seconds", "Of the last period", ("tenant",))
        self._limit = made("Gauge", "latency_p99_limit_seconds", "Infinite for none", ("tenant",))
        self._power = made("Gauge", "power_watts", "Of the last period; NaN where none is measured")
        self._power_limit = made("Gauge", "power_limit_watts", "Infinite for none")
        self._instances = made("Gauge", "instances", "Serving now", ("tenant", "accelerator"))
        self._batch = made(
            "Gauge",
            "batch_size",
            "Of the instances serving now, 0 where there is none",
            ("tenant", "accelerator"),
        )
        self._periods = made("Counter", "periods", "Control periods", ("phase",))
        self._broken = made(
            "Counter",
            "limits_broken_periods",
            "Control periods in which a limit was broken, or none could be measured",
        )
        self._changes = made(
            "Counter",
            "configuration_changes",
            "Configurations applied that differ from the one before",
        )
        self._lost = made("Counter", "journal_lines_lost", "Periods that could not be written down")
        self._decision = made("Gauge", "decision_seconds", "What the last decision took")
        self._before: Configuration | None = None
        self._told = 0
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
        return int(self._server.server_port)

    def show(self, period: Period, lost: int) -> None:
        """What the next scrape sees."""
        names, places = self._space.workload.names, self._space.device.accelerator_names
        outcome = period.outcome
        measured = isinstance(outcome, Measurement)
        for position, name in enumerate(names):
            tenant = outcome.tenants[position] if isinstance(outcome, Measurement) else None
            self._throughput.labels(name).set(tenant.throughput_ips if tenant else 0.0)
            self._p99.labels(name).set(tenant.p99_ms / 1e3 if tenant else math.nan)
            self._limit.labels(name).set(period.objective.p99_ms[position] / 1e3)
            for place, (instances, batch) in zip(
                places,
                period.configuration.placements[position] if measured else (),
                strict=measured,
            ):
                self._instances.labels(name, place).set(instances)
                self._batch.labels(name, place).set(batch)
        self._power.set(outcome.power_w if isinstance(outcome, Measurement) else math.nan)
        self._power_limit.set(period.objective.power_w)
        self._periods.labels(period.phase.value).inc()
        self._broken.inc(not period.kept)
        self._changes.inc(measured and self._before not in (None, period.configuration))
        self._decision.set(period.decision_us / 1e6)
        self._lost.inc(lost - self._told)
        self._told = lost
        self._before = period.configuration if measured else self._before

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
