"""Measure configurations and write a Parquet trace: python -m tuner.record.

  python -m tuner.record --network my.onnx --out traces/my.parquet --samples inputs.npz
  python -m tuner.record --network my.onnx --out traces/gpu.parquet --runtime tensorrt
  python -m tuner.record --network my.onnx --out traces/part.parquet --plan lhs --count 40
  python -m tuner.record --network a.onnx b.onnx --out traces/two.parquet --max-total-instances 4

The same command continues a recording that was stopped. Leave the computer alone meanwhile:
windows that another program disturbed are taken again. A configuration that fails is a row too; the
reasons stand at the end. Exit code 2 where every one failed, 130 after Ctrl-C or SIGTERM.
"""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from envs.errors import RuntimeFault
from envs.runtimes.recording import RecordOptions, record
from envs.spec import UNCALIBRATED, Configuration, Measurement, Outcome
from envs.traces.schema import check_names, configuration_of, outcome_of
from envs.traces.writer import TraceWriter, check_new
from tuner.answer_text import failures
from tuner.console import progress_bar
from tuner.device import Device, open_device
from tuner.flags import run
from tuner.options import ServeOptions
from tuner.parts import ALL
from tuner.plan import PlanOptions, planned
from tuner.stopping import leave
from tuner.tuning import labelled
from tuner.versions import versions

#: So many configurations are named beside the reason of their failures.
NAMED = 4


@dataclass(frozen=True)
class RecordCommand:
    """The options of `python -m tuner.record`.

    Attributes:
        out: the trace to write.
        serve: the networks and the device.
        plan: which configurations to measure.
        record: how to measure each.
    """

    out: Path = Path("traces/recorded.parquet")
    serve: ServeOptions = field(default_factory=ServeOptions)
    plan: PlanOptions = field(default_factory=PlanOptions)
    record: RecordOptions = field(default_factory=RecordOptions)


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(RecordCommand, record_trace, arguments, __doc__ or "", hidden=("outside",))


def record_trace(options: RecordCommand) -> None:
    """Record the configurations of the plan, or go on where an earlier recording stopped."""
    options.plan.check()
    if options.serve.runtime != "replayed":
        check_names(options.serve.unread_space())
    out = options.out
    check_new(out)
    with open_device(options.serve, engines=ALL) as device:
        space = device.space
        configurations = planned(space, options.plan, device.candidates)
        provenance = {
            "plan": asdict(options.plan) | {"configurations": len(configurations)},
            "record": asdict(options.record),
            "serving": asdict(options.serve.serving),
            "runtime": options.serve.runtime,
            "origin": device.runtime.origin.value,
            "machine": space.device.to_dict(),
            "versions": versions(),
            "answers": device.provenance(),
            "samples": options.serve.samples,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
        }
        with TraceWriter(out, space, provenance) as writer:
            if unjudged := space.uncalibrated():
                print(f"caution: {UNCALIBRATED}: {', '.join(unjudged)}", file=sys.stderr)
            print(
                f"recording {len(configurations)} configurations of"
                f" {', '.join(space.workload.names)} on {space.device.name}"
                f" ({device.runtime.origin.value}); {len(writer.rows)} are there already"
            )
            try:
                record_all(device, configurations, writer, options.record)
            except BaseException:
                if writer.rows:
                    writer.publish(complete=False)
                    print(
                        f"\n{len(writer.rows)} rows are in {out}; run the same command again to"
                        " go on",
                        file=sys.stderr,
                    )
                raise
            writer.publish(complete=True)
    marked = sum(row["disturbed"] for row in writer.rows)
    failed = [
        (labelled(space, configuration_of(space, row)), outcome_of(space, row))
        for row in writer.rows
        if row["failure"]
    ]
    print(
        f"wrote {out}: {len(writer.rows)} configurations ({device.runtime.origin.value}),"
        f" {len(failed)} failed, {marked} marked as disturbed"
    )
    print("".join(f"{line}\n" for line in failures(failed, most=NAMED)), end="")
    if len(failed) == len(writer.rows):
        raise RuntimeFault("nothing could be measured, every window failed: see the reasons above")


def record_all(
    device: Device,
    configurations: list[Configuration],
    writer: TraceWriter,
    options: RecordOptions,
) -> None:
    """Record configurations with a bar."""
    with progress_bar("recording", len(configurations), completed=len(writer.rows)) as advance:

        def show(configuration: Configuration, outcome: Outcome) -> None:
            rate = (
                f"{outcome.throughput_ips.sum():.1f} inferences/s"
                if isinstance(outcome, Measurement)
                else outcome.kind.value
            )
            advance(f"{device.space.describe(configuration)}: {rate}")

        record(device.runtime, configurations, writer, options, show)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
