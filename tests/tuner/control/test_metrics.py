"""The metrics that Prometheus scrapes, read with its own parser from a real port."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.request import urlopen

import pytest

from envs.errors import StorageError
from envs.spec import Configuration, Goal, Objective
from tests.worlds import respond, space
from tuner.control.guard import Phase
from tuner.control.metrics import Metrics
from tuner.control.period import Period

client = pytest.importorskip("prometheus_client")
SPACE = space()
GOOD, OTHER = (Configuration.of(SPACE.catalogue[row]) for row in (5, 17))


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics(0, SPACE)
    yield made
    made.close()


def scraped(metrics: Metrics) -> dict[tuple[str, ...], float]:
    from prometheus_client.parser import text_string_to_metric_families

    with urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def period(configuration: Configuration, kept: bool, phase: Phase = Phase.HOLDING) -> Period:
    return Period(
        1,
        0.0,
        phase,
        configuration,
        respond(SPACE, configuration),
        Objective((50.0,)),
        kept,
        1.0,
        0.0,
        80.0,
        (),
    )


def test_a_scrape_shows_the_last_period_and_counts(metrics: Metrics) -> None:
    metrics.show(period(GOOD, True, Phase.SEARCHING), 0)
    metrics.show(period(OTHER, False), 2)
    metrics.show(period(OTHER, True), 2)
    found = scraped(metrics)
    outcome = respond(SPACE, OTHER)
    assert (
        found["orin_tuner_throughput_inferences_per_second", "net0"]
        == outcome.tenants[0].throughput_ips
    )
    assert found["orin_tuner_latency_p99_seconds", "net0"] == pytest.approx(
        outcome.tenants[0].p99_ms / 1e3
    )
    assert found["orin_tuner_latency_p99_limit_seconds", "net0"] == 0.05
    assert found["orin_tuner_periods_total", "holding"] == 2
    assert found["orin_tuner_periods_total", "safe"] == 0
    assert found["orin_tuner_limits_broken_periods_total",] == 1
    assert found["orin_tuner_configuration_changes_total",] == 1
    assert found["orin_tuner_journal_lines_lost_total",] == 2
    for accelerator, (instances, batch) in zip(
        SPACE.device.accelerator_names, OTHER.placements[0], strict=True
    ):
        assert found[("orin_tuner_instances", *sorted(("net0", accelerator)))] == instances
        assert found[("orin_tuner_batch_size", *sorted(("net0", accelerator)))] == batch


def test_a_score_names_its_goal_and_unit_and_another_goal_takes_its_place(metrics: Metrics) -> None:
    shown = period(GOOD, True)
    metrics.show(shown, 0)
    assert scraped(metrics)["orin_tuner_score", "inferences/s", "throughput"] == 1.0
    assert scraped(metrics)["orin_tuner_throughput_limit_inferences_per_second", "net0"] == 0.0
    energy = Objective((50.0,), goal=Goal.ENERGY, min_rate_ips=(12.0,))
    metrics.show(replace(shown, objective=energy, score=2.5), 0)
    found = scraped(metrics)
    assert found["orin_tuner_score", "energy", "inferences/J"] == 2.5
    assert ("orin_tuner_score", "inferences/s", "throughput") not in found
    assert found["orin_tuner_throughput_limit_inferences_per_second", "net0"] == 12.0


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match=f"port {port} of 127.0.0.1 cannot be used"):
            Metrics(port, SPACE)


def test_what_is_left_of_the_memory_is_told_twice(metrics: Metrics) -> None:
    found = replace(respond(SPACE, GOOD), gpu_free_mib=100.0, available_mib=300.0)
    metrics.show(replace(period(GOOD, True), outcome=found), 0)
    told = scraped(metrics)
    assert told["orin_tuner_memory_free_bytes", "driver"] == 100 * 2**20
    assert told["orin_tuner_memory_free_bytes", "system"] == 300 * 2**20


def test_agreement_is_a_metric_and_not_a_number_where_it_was_not_measured(
    metrics: Metrics,
) -> None:
    shown, found = period(GOOD, True), respond(SPACE, GOOD)
    for agreement, samples in ((math.nan, math.nan), (0.996, 448)):
        tenant = replace(found.tenants[0], agreement=agreement, agreement_samples=samples)
        metrics.show(replace(shown, outcome=replace(found, tenants=(tenant,))), 0)
        told = scraped(metrics)
        assert told["orin_tuner_agreement", "net0"] == pytest.approx(agreement, nan_ok=True)
        assert told["orin_tuner_agreement_samples", "net0"] == pytest.approx(samples, nan_ok=True)


def test_what_changes_cost_adds_up_and_what_was_not_measured_counts_nothing(
    metrics: Metrics,
) -> None:
    changed = period(OTHER, kept=True)
    cost = {"apply_s": 2.0, "change_requests": 30.0, "change_j": math.nan}
    for _ in range(2):
        metrics.show(replace(changed, outcome=replace(changed.outcome, **cost)), 0)
    found = scraped(metrics)
    assert found[("orin_tuner_change_seconds_total",)] == 4.0
    assert found[("orin_tuner_change_requests_delayed_total",)] == 60.0
    assert found[("orin_tuner_change_joules_total",)] == 0.0
