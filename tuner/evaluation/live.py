"""Measure again, live, the configurations that a tuner chose on a trace."""

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from envs.runtimes.recording import RecordOptions, measure_undisturbed
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec import Configuration, Measurement, available_cores
from envs.traces.reader import Trace
from tuner.console import progress_bar
from tuner.device import open_device
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.live_check import LiveCheck
from tuner.evaluation.tradeoff_plot import answer_after
from tuner.options import ServeOptions

Options = TypeVar("Options")


@dataclass
class LiveOptions:
    """Options of measuring again on the device.

    Attributes:
        network: the ONNX files of the trace; none for no live check.
        choices: number of different configurations.
    """

    network: list[str] = field(default_factory=list)
    choices: int = 5


def check_live(trace: Trace, comparison: Comparison, options: LiveOptions) -> tuple[LiveCheck, ...]:
    """Measure the first tuner's answers after three measurements, as the trace was recorded."""
    choices = frequent_choices(comparison, options.choices)
    record = from_metadata(RecordOptions, trace.metadata.get("record"))
    checks = []
    with (
        open_device(serve_options_of(trace, options.network)) as device,
        progress_bar("running live", len(choices)) as advance,
    ):
        for configuration in choices:
            recorded = trace.outcome(configuration)
            outcome, _ = measure_undisturbed(device.runtime, configuration, record)
            advance(trace.space.describe(configuration))
            if isinstance(outcome, Measurement) and isinstance(recorded, Measurement):
                checks.append(
                    LiveCheck(
                        trace_ips=float(recorded.throughput_ips.sum()),
                        live_ips=float(outcome.throughput_ips.sum()),
                        trace_p99_ms=float(recorded.p99_ms.max()),
                        live_p99_ms=float(outcome.p99_ms.max()),
                        same_machine=device.space.device.name == trace.space.device.name,
                        disturbed=outcome.disturbed,
                        label=trace.space.describe(configuration),
                    )
                )
    return tuple(checks)


def serve_options_of(trace: Trace, networks: list[str]) -> ServeOptions:
    """Return the options that serve these ONNX files as the trace was recorded.

    The samples that calibrated INT8 then are used again where their files are still there. Only
    speed is compared, so that INT8 serves without them too.
    """
    space = trace.space
    samples = [str(each) for each in trace.metadata.get("samples") or ()]
    there = len(samples) == len(networks) and all(Path(each).exists() for each in samples)
    on_gpu = trace.metadata.get("runtime") == "tensorrt"
    tenants = space.workload.tenants
    open_loop = any(math.isfinite(tenant.rate_ips) for tenant in tenants)
    return ServeOptions(
        network=networks,
        runtime="tensorrt" if on_gpu else "onnxruntime",
        rate_ips=[tenant.rate_ips for tenant in tenants] if open_loop else None,
        weight=list(space.workload.weights),
        accelerators=list(space.device.accelerator_names),
        cores=None if on_gpu else min(space.device.cores, available_cores()),
        samples=samples if there else None,
        min_agreement=0.0,
        allow_uncalibrated=True,
        max_instances=space.max_instances,
        batches=list(space.batches),
        max_total_instances=space.max_total_instances,
        serving=from_metadata(ServingOptions, trace.metadata.get("serving")),
    )


def from_metadata(kind: type[Options], recorded: Any) -> Options:
    """Return options as a trace has them; others keep their defaults."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in (recorded or {}).items() if key in names})


def frequent_choices(comparison: Comparison, count: int) -> list[Configuration]:
    """Return the first tuner's answers after three measurements, the most frequent first."""
    choices: Counter[Configuration] = Counter()
    for per_seed in comparison.runs(comparison.tuners[0]):
        for run in per_seed:
            choices[Configuration.of(run.placements[answer_after(run, 3)])] += 1
    return [configuration for configuration, _ in choices.most_common(count)]
