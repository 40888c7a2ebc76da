"""Serve on this device and keep the limits: python -m tuner.deploy --network my.onnx --p99-ms 50

Finds a configuration with the policy's few measurements, then keeps serving and watches: when arrivals, limits, the power mode or the temperature
change, it decides again. Whatever goes wrong ends in a configuration that serves. One JSON line a control period goes to standard output, or into --journal.
Needs numpy and the runtime, neither torch nor gymnasium nor hydra.

  python -m tuner.deploy --network my.onnx --p99-ms 50 --dry-run         what it would start with; nothing is served
  python -m tuner.deploy --network my.onnx --p99-ms 50 --client app:main  your program brings the requests: app.main(submit) runs in a thread
  python -m tuner.deploy --network my.onnx --limits limits.json           {"p99_ms": 20, "power_w": 15}, looked at once a period
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from envs.errors import BundleError, OptionError, TunerError
from envs.simulator.prior import starting_configuration
from envs.telemetry.power_mode import read_power_mode
from tuner.control.controller import Controller, ControlOptions
from tuner.control.decider import Decider
from tuner.control.guard import Guard
from tuner.control.limits import Limits
from tuner.control.lock import DeviceLock, usual_lock
from tuner.control.memory import LastGood
from tuner.control.metrics import Metrics
from tuner.control.period import Journal
from tuner.control.service import RUNTIMES, Asked, Service, service
from tuner.options import cache_folder, shipped
from tuner.policy.bundle import load_bundle


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tuner.deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--network", nargs="+", type=Path, default=[], metavar="ONNX", help="one file a tenant")
    add("--p99-ms", nargs="+", type=float, metavar="MS", help="limit on the 99th percentile of latency: one for all tenants, or one each")
    add("--power-w", type=float, metavar="W", help="limit on the board's power; needs a power sensor")
    add("--rate-ips", nargs="+", type=float, metavar="R", help="mean arrivals a second of each tenant; without it as many as can be served")
    add("--limits", type=Path, metavar="JSON", help="file with limits that is looked at once a period")
    add("--client", metavar="MODULE:FUNCTION", help="brings the requests: called in a thread with submit(tenant, inputs) -> Future; else load is generated")
    add("--runtime", default="onnxruntime", metavar="NAME", help=f"{', '.join(RUNTIMES)} (default: onnxruntime)")
    add("--sensor", default="auto", help="where power is read: auto, ina3221, jtop, tegrastats, rapl, nvml, none (default: auto)")
    add(
        "--board", help="of --runtime simulated (default: agx_orin_64); of tensorrt and torch the board that this device is most like, if its name does not say"
    )
    add("--mode", help="power mode of --board")
    add("--trace", default="", help="of --runtime replayed: a recording by name or path")
    add("--instances", type=int, default=4, help="at most so many of a tenant on an accelerator (default: 4)")
    add("--batches", nargs="+", type=int, default=[1, 2, 4, 8], help="to choose from (default: 1 2 4 8)")
    add("--bundle", type=Path, help="the policy (default: the one that comes with the project)")
    add("--period-s", type=float, default=3.0, help="length of a control period (default: 3)")
    add("--periods", type=int, help="stop after so many (default: go on until SIGTERM)")
    add("--folder", type=Path, default=cache_folder() / "deploy", help="keeps the last good configuration for the next start")
    add("--journal", type=Path, metavar="FILE", help="where the lines go (default: standard output)")
    add("--metrics-port", type=int, metavar="PORT", help="serve metrics for Prometheus on 127.0.0.1")
    add("--lock", type=Path, default=usual_lock(), help="one controller a device")
    add("--dry-run", action="store_true", help="say what would be served first, and stop")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    if not options.period_s > 0 or (options.periods is not None and options.periods < 1):
        raise OptionError("--period-s and --periods must be above zero")
    with DeviceLock(options.lock), contextlib.ExitStack() as stack:
        served = service(asked(options))
        stack.callback(served.runtime.close)
        limits = Limits(limits_given(options), served.space.workload.names, served.runtime.has_power, options.limits)
        memory = LastGood(options.folder, served.space)
        decider = decider_of(options, served, limits)
        safe = starting_configuration(served.model_at(rates_of(served)), limits.objective)
        guard = Guard(served.space, safe, memory.load())
        if options.dry_run:
            print(plan(served, guard, decider))
            return 0
        controller = Controller(served.runtime, decider, guard, limits, memory, ControlOptions(options.period_s), read_power_mode, served.remarks)
        journal = Journal(options.journal)
        stack.callback(journal.close)
        metrics = Metrics(options.metrics_port, served.space) if options.metrics_port is not None else None
        if metrics:
            stack.callback(metrics.close)
        return run(controller, served, journal, metrics, options)


def run(controller: Controller, served: Service, journal: Journal, metrics: Metrics | None, options: argparse.Namespace) -> int:
    """Periods until SIGTERM, SIGINT, or as many as asked for."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    client: threading.Thread | None = None
    count = 0
    while not stop.is_set() and (options.periods is None or count < options.periods):
        if options.client and client is None and count:
            client = threading.Thread(target=client_of(options.client), args=(served.runtime.submit,), daemon=True)  # type: ignore[attr-defined]
            client.start()
        period = controller.step()
        journal.write(period.as_dict(served.space))
        if metrics:
            metrics.show(period, journal.lost)
        count += 1
    return 0


def asked(options: argparse.Namespace) -> Asked:
    if options.client and options.runtime in ("simulated", "replayed"):
        raise OptionError(f"--client needs a runtime that serves: --runtime {options.runtime} only answers what a window would give")
    return Asked(
        options.runtime,
        tuple(options.network),
        tuple(options.rate_ips) if options.rate_ips else None,
        options.instances,
        tuple(options.batches),
        cache_folder(),
        timeout_s=options.period_s,
        outside=bool(options.client),
        sensor=options.sensor,
        board=options.board,
        mode=options.mode,
        trace=options.trace,
    )


def limits_given(options: argparse.Namespace) -> dict[str, Any]:
    p99 = options.p99_ms[0] if options.p99_ms and len(options.p99_ms) == 1 else options.p99_ms
    return {"p99_ms": p99, "power_w": options.power_w}


def rates_of(served: Service) -> tuple[float, ...]:
    return tuple(tenant.rate_ips for tenant in served.space.workload.tenants)


def decider_of(options: argparse.Namespace, served: Service, limits: Limits) -> Decider | None:
    """The policy; None, and a word about it, where its bundle cannot be used: the service does not depend on it."""
    try:
        bundle = load_bundle(options.bundle or shipped("checkpoints") / "reference.bundle")
    except BundleError as error:
        print(f"serving without a policy: {error}", file=sys.stderr)
        return None
    return Decider(bundle, served.model_at, served.possible, limits.objective, rates_of(served))


def plan(served: Service, guard: Guard, decider: Decider | None) -> str:
    """What would be served first, in words."""
    first = decider.experiment() if decider else None
    lines = [f"device: {served.space.device.name} ({served.runtime.origin.value})", f"configurations: {len(served.possible):,}"]
    lines.append(f"safe default: {served.space.describe(guard.safe)}")
    lines.append(f"last good: {served.space.describe(guard.good) if guard.good else 'none kept'}")
    lines.append(f"first measurement: {served.space.describe(first) if first else 'none'}")
    return "\n".join(lines)


def client_of(name: str) -> Any:
    """A function of the user's own."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"--client {name} cannot be found ({error}): give MODULE:FUNCTION that Python can import from here") from error


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TunerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
