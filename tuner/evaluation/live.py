"""Does a trace still hold? What tuners chose on it, run live again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from envs.runtimes.onnxruntime.engines import onnxruntime_runtime
from envs.runtimes.recording import RecordOptions, measure_undisturbed
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec.device import local_computer
from envs.spec.measurement import Measurement
from envs.spec.space import Configuration
from envs.traces.reader import Trace
from tuner.console import progress_bar
from tuner.evaluation.protocol import Comparison
from tuner.evaluation.sentences import LiveCheck
from tuner.evaluation.tradeoff_plot import answer_after
from tuner.options import cache_folder, read_networks

Options = TypeVar("Options")


@dataclass
class LiveOptions:
    """`networks`: the ONNX files of the trace; none for no live check. `choices`: how many different choices to run again."""

    networks: list[str] = field(default_factory=list)
    choices: int = 5


def check_live(trace: Trace, comparison: Comparison, options: LiveOptions) -> tuple[LiveCheck, ...]:
    """Measure again, as the trace was recorded, what the first tuner chose after three measurements. TraceError for other networks."""
    networks = read_networks(options.networks)
    trace.check_networks(networks)
    choices = frequent_choices(comparison, options.choices)
    serving = from_metadata(ServingOptions, trace.metadata.get("serving"))
    record = from_metadata(RecordOptions, trace.metadata.get("record"))
    checks = []
    with (
        onnxruntime_runtime(
            trace.space, [Path(path) for path in options.networks], cache_folder(), serving
        ) as runtime,
        progress_bar("running live", len(choices)) as advance,
    ):
        for configuration in choices:
            recorded = trace.outcome(configuration)
            outcome, _ = measure_undisturbed(runtime, configuration, record)
            advance(trace.space.describe(configuration))
            if isinstance(outcome, Measurement) and isinstance(recorded, Measurement):
                checks.append(
                    LiveCheck(
                        trace_ips=float(recorded.throughput_ips.sum()),
                        live_ips=float(outcome.throughput_ips.sum()),
                        trace_p99_ms=float(recorded.p99_ms.max()),
                        live_p99_ms=float(outcome.p99_ms.max()),
                        same_machine=local_computer(trace.space.device.accelerator_names).name
                        == trace.space.device.name,
                        disturbed=outcome.disturbed,
                        label=trace.space.describe(configuration),
                    )
                )
    return tuple(checks)


def from_metadata(kind: type[Options], recorded: Any) -> Options:
    """Options as a trace has them; those it does not know keep their defaults."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in (recorded or {}).items() if key in known})


def frequent_choices(comparison: Comparison, most: int) -> list[Configuration]:
    """What the first tuner held best after three measurements, the most frequent choices first."""
    choices: Counter[Configuration] = Counter()
    for per_seed in comparison.runs(comparison.tuners[0]):
        for run in per_seed:
            choices[Configuration.of(run.placements[answer_after(run, 3)])] += 1
    return [configuration for configuration, _ in choices.most_common(most)]
