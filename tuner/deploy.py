"""Serve on this device and keep the limits: python -m tuner.deploy --network my.onnx --p99-ms 50

Finds a configuration with the policy's few measurements, then keeps serving and watches: when arrivals, limits, the power mode or the temperature
change, it decides again. Whatever goes wrong ends in a configuration that serves. One JSON line a control period goes to standard output, or into --journal.
Needs numpy and the runtime, neither torch nor gymnasium nor hydra.

  python -m tuner.deploy --network my.onnx --p99-ms 50 --dry-run         what it would start with; nothing is served
  python -m tuner.deploy --network my.onnx --p99-ms 50 --client app:main  your program brings the requests: app.main(submit) runs in a thread
  python -m tuner.deploy --network my.onnx --limits limits.json           {"p99_ms": 20, "power_w": 15}, looked at once a period
"""

from __future__ import annotations

import os

# The cores are there to serve: small matrices on several threads wait for each other on busy cores, a tenth of a second at a time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import contextlib
import importlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from envs.errors import OptionError, TunerError
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec.measurement import Failure
from envs.telemetry.power_mode import read_power_mode
from tuner.control.build import Assembled, controller_of
from tuner.control.controller import Controller, ControlOptions
from tuner.control.lock import DeviceLock, usual_lock
from tuner.control.metrics import Metrics
from tuner.control.period import Journal
from tuner.device import Device, open_device
from tuner.options import RUNTIMES, ServeOptions, cache_folder, shipped

Client = Callable[[Callable[..., Any]], object]


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tuner.deploy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--network", nargs="+", type=Path, default=[], metavar="ONNX", help="one file a tenant")
    add(
        "--p99-ms",
        nargs="+",
        type=float,
        metavar="MS",
        help="limit on the 99th percentile of latency: one for all tenants, or one each",
    )
    add(
        "--power-w",
        type=float,
        metavar="W",
        help="limit on the board's power; needs a power sensor",
    )
    add(
        "--rate-ips",
        nargs="+",
        type=float,
        metavar="R",
        help="mean arrivals a second of each tenant; without it as many as can be served",
    )
    add(
        "--limits",
        type=Path,
        metavar="JSON",
        help="file with limits that is looked at once a period",
    )
    add(
        "--client",
        metavar="MODULE:FUNCTION",
        help="brings the requests: called in a thread with submit(tenant, inputs) -> Future; else load is generated",
    )
    add(
        "--runtime",
        default="onnxruntime",
        metavar="NAME",
        help=f"{', '.join(RUNTIMES)} (default: onnxruntime)",
    )
    add(
        "--sensor",
        default="auto",
        help="where power is read: auto, ina3221, jtop, rapl, nvml, none (default: auto)",
    )
    add(
        "--board",
        help="of --runtime simulated (default: agx_orin_64); of tensorrt the board that this device is most like, if its name does not say",
    )
    add("--mode", help="power mode of --board")
    add("--trace", default="", help="of --runtime replayed: a recording by name or path")
    add(
        "--instances",
        type=int,
        default=4,
        help="at most so many of a tenant on an accelerator (default: 4)",
    )
    add(
        "--batches",
        nargs="+",
        type=int,
        default=[1, 2, 4, 8],
        help="to choose from (default: 1 2 4 8)",
    )
    add("--bundle", type=Path, help="the policy (default: the one that comes with the project)")
    add("--period-s", type=float, default=3.0, help="length of a control period (default: 3)")
    add("--periods", type=int, help="stop after so many (default: go on until SIGTERM)")
    add(
        "--folder",
        type=Path,
        default=cache_folder() / "deploy",
        help="keeps the last good configuration for the next start",
    )
    add(
        "--journal", type=Path, metavar="FILE", help="where the lines go (default: standard output)"
    )
    add(
        "--metrics-port", type=int, metavar="PORT", help="serve metrics for Prometheus on 127.0.0.1"
    )
    add("--lock", type=Path, default=usual_lock(), help="one controller a device")
    add("--dry-run", action="store_true", help="say what would be served first, and stop")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    try:
        return deploy(arguments(given))
    except TunerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def deploy(options: argparse.Namespace) -> int:
    if not options.period_s > 0 or (options.periods is not None and options.periods < 1):
        raise OptionError("--period-s and --periods must be above zero")
    client = client_of(options.client) if options.client else None
    with DeviceLock(options.lock), contextlib.ExitStack() as stack:
        served = open_device(serve_options(options), power_w=options.power_w)
        stack.callback(served.close)
        bundle = options.bundle or shipped("checkpoints") / "reference.bundle"
        control = ControlOptions(options.period_s)
        made = controller_of(
            served,
            limits_given(options),
            options.limits,
            bundle,
            options.folder,
            control,
            read_power_mode,
        )
        if options.dry_run:
            print(plan(served, made))
            return 0
        journal = Journal(options.journal)
        metrics = (
            Metrics(options.metrics_port, served.space)
            if options.metrics_port is not None
            else None
        )
        if metrics:
            stack.callback(metrics.close)
        return run(made.controller, served, journal, metrics, client, options)


class Stop:
    """Set by SIGTERM and SIGINT; a plain flag, since a signal may come at any instruction."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def rest(self, until_s: float) -> None:
        """Wait, unless it is time to go."""
        while not self.asked and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))


def run(
    controller: Controller,
    served: Device,
    journal: Journal,
    metrics: Metrics | None,
    client: Client | None,
    options: argparse.Namespace,
) -> int:
    """Periods until SIGTERM, SIGINT, or as many as asked for. A period that ends early, by a failure or because nothing is really served, is waited out."""
    stop, count = Stop(), 0
    while not stop.asked and (options.periods is None or count < options.periods):
        began_s = time.monotonic()
        period = controller.step()
        journal.write(period.as_dict(served.space))
        if metrics:
            metrics.show(period, journal.lost)
        notify("WATCHDOG=1" if count else "READY=1\nWATCHDOG=1")
        count += 1
        if client is not None and count == 1:
            submit = served.runtime.submit  # type: ignore[attr-defined]
            threading.Thread(target=client, args=(submit,), name="client", daemon=True).start()
        if options.periods is None or isinstance(period.outcome, Failure):
            stop.rest(began_s + options.period_s)
    return 0


def notify(state: str) -> None:
    """Tell systemd, where it asks for it (sd_notify), that the loop goes round."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def serve_options(options: argparse.Namespace) -> ServeOptions:
    """Return what to serve, and where."""
    if options.client and not options.rate_ips:
        raise OptionError(
            "--client needs --rate-ips: say about how many requests a second will come; what really comes is followed then"
        )
    if options.client and options.runtime in ("simulated", "replayed"):
        raise OptionError(
            f"--client needs a runtime that serves: --runtime {options.runtime} only answers what a window would give"
        )
    return ServeOptions(
        [str(path) for path in options.network],
        options.runtime,
        options.board,
        options.mode,
        options.trace or None,
        options.rate_ips,
        max_instances=options.instances,
        batches=options.batches,
        sensor=options.sensor,
        serving=ServingOptions(timeout_s=options.period_s, outside=bool(options.client)),
    )


def limits_given(options: argparse.Namespace) -> dict[str, Any]:
    p99 = options.p99_ms[0] if options.p99_ms and len(options.p99_ms) == 1 else options.p99_ms
    return {"p99_ms": p99, "power_w": options.power_w}


def plan(served: Device, made: Assembled) -> str:
    """What would be served first, in words."""
    first, good, space = (
        made.decider.experiment() if made.decider else None,
        made.guard.good,
        served.space,
    )
    return "\n".join(
        [
            f"device: {space.device.name} ({served.runtime.origin.value})",
            f"limits: {made.limits.objective.describe(space.workload.names)}",
            f"configurations: {space.combinations if served.candidates is None else len(served.candidates):,}",
            f"safe default: {space.describe(made.guard.safe)}",
            f"last good: {space.describe(good) if good else 'none kept'}",
            f"first measurement: {space.describe(first) if first else 'none'}",
        ]
    )


def client_of(name: str) -> Client:
    """A function of the user's own."""
    module, _, function = name.partition(":")
    try:
        found: Client = getattr(importlib.import_module(module), function)
        return found
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"--client {name} cannot be found ({error}): give MODULE:FUNCTION that Python can import from here"
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
