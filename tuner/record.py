"""Record what each configuration gives: python -m tuner.record workload.networks=[my.onnx] out=traces/my.parquet"""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from envs.runtimes.onnxruntime.engines import onnxruntime_runtime
from envs.runtimes.protocol import Runtime
from envs.runtimes.recording import RecordOptions, record
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec.measurement import Measurement, Outcome
from envs.spec.space import Configuration, ConfigurationSpace
from envs.traces.writer import TraceWriter
from tuner.cli import run_command
from tuner.console import progress_bar
from tuner.options import (
    DeviceOptions,
    SpaceOptions,
    WorkloadOptions,
    cache_folder,
    live_space,
    versions,
)
from tuner.plan import PlanOptions, planned


@dataclass
class RecordCommand:
    """Options of python -m tuner.record."""

    out: str = "traces/recorded.parquet"
    device: DeviceOptions = field(default_factory=DeviceOptions)
    workload: WorkloadOptions = field(default_factory=WorkloadOptions)
    space: SpaceOptions = field(default_factory=SpaceOptions)
    plan: PlanOptions = field(default_factory=PlanOptions)
    serving: ServingOptions = field(default_factory=ServingOptions)
    record: RecordOptions = field(default_factory=RecordOptions)


def main(options: RecordCommand) -> int:
    space = live_space(options.device, options.workload, options.space)
    configurations = planned(space, options.plan)
    provenance = {
        "plan": asdict(options.plan) | {"configurations": len(configurations)},
        "record": asdict(options.record),
        "serving": asdict(options.serving),
        "runtime": "onnxruntime",
        "machine": space.device.to_dict(),
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(["python", "-m", "tuner.record", *sys.argv[1:]]),
    }
    out = Path(options.out)
    paths = [Path(path) for path in options.workload.networks]
    with TraceWriter(out, space, provenance) as writer:
        print(
            f"recording {len(configurations)} configurations of {', '.join(space.workload.names)} on {space.device.name}; {len(writer.rows)} are there already"
        )
        try:
            with onnxruntime_runtime(space, paths, cache_folder(), options.serving) as runtime:
                record_all(runtime, configurations, writer, options.record, space)
        except BaseException:
            if writer.rows:
                writer.publish(complete=False)
                print(
                    f"\n{len(writer.rows)} rows are in {out}; run the same command again to go on",
                    file=sys.stderr,
                )
            raise
        writer.publish(complete=True)
    marked = sum(row["disturbed"] for row in writer.rows)
    failed = sum(bool(row["failure"]) for row in writer.rows)
    print(
        f"wrote {out}: {len(writer.rows)} configurations, {failed} failed, {marked} marked as disturbed"
    )
    return 0


def record_all(
    runtime: Runtime,
    configurations: list[Configuration],
    writer: TraceWriter,
    options: RecordOptions,
    space: ConfigurationSpace,
) -> None:
    with progress_bar("recording", len(configurations), completed=len(writer.rows)) as advance:

        def show(configuration: Configuration, outcome: Outcome) -> None:
            rate = (
                f"{outcome.throughput_ips.sum():.1f} inferences/s"
                if isinstance(outcome, Measurement)
                else outcome.kind.value
            )
            advance(f"{space.describe(configuration)}: {rate}")

        record(runtime, configurations, writer, options, show)


if __name__ == "__main__":
    run_command("record", RecordCommand, main)
