"""Serve on this device and keep the limits: python -m tuner.deploy.

  python -m tuner.deploy --network my.onnx --p99-ms 50 --dry-run      say what comes first
  python -m tuner.deploy --network my.onnx --p99-ms 50 --runtime tensorrt    on the GPU and the DLAs
  python -m tuner.deploy --network my.onnx --p99-ms 50 --rate-ips 30 --client app:main
  python -m tuner.deploy --network my.onnx --limits limits.json       {"p99_ms": 20, "power_w": 15}
  python -m tuner.deploy --network my.onnx --p99-ms 50 --rate-ips 30 --goal energy

It finds a configuration with the few measurements of the policy, serves it, and watches: when
arrivals, goal, limits, power mode or temperature change, it decides again. Whatever goes wrong
ends in a configuration that serves. One JSON line for each control period goes to standard output,
or into --journal; with --page PORT a page in the browser shows what happens. With --client your
program brings the requests: app.main(submit) runs in a thread, for as long as the service is to
last. The limits in --limits are read once a period. It needs numpy and the runtime, neither torch
nor gymnasium nor hydra.

Exit code 0: it was stopped, or served for --periods. 2: it cannot serve, and one sentence says why.
4: the client returned or raised; its last words are an event in the journal (client_ended). 5: a
new process may serve again what this one cannot any more; after two such ends it goes on with what
works.
"""

import os

# The cores are there to serve: on busy cores, the threads of a small matrix product wait for each
# other for a tenth of a second.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import contextlib
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

from envs.errors import OptionError
from envs.files import check_writable
from envs.spec import ConfigurationSpace, Goal
from envs.telemetry.power_mode import read_power_mode
from tuner.alone import check_slowdown, limits_alone
from tuner.api import check_request
from tuner.control.build import Assembled, controller_of
from tuner.control.client import ClientThread, client_at
from tuner.control.controller import Controller, ControlOptions
from tuner.control.journal import Journal
from tuner.control.kept_samples import KeptSamples
from tuner.control.limits import RISK, Limits
from tuner.control.lock import DeviceLock, usual_lock
from tuner.control.metrics import Metrics
from tuner.control.plan import plan
from tuner.control.service import Service
from tuner.control.tenants import TenantControl
from tuner.device import Device, open_device
from tuner.flags import run
from tuner.folders import cache_folder, reference_bundle
from tuner.objectives import asked
from tuner.options import ServeOptions
from tuner.page.beside import PageBeside, limits_file
from tuner.page.options import PageOptions
from tuner.parts import FIRST
from tuner.stopping import StoppedEarly, leave
from tuner.tuning import FEWEST

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeployCommand:
    """The options of `python -m tuner.deploy`.

    Attributes:
        p99_ms: limit on the 99th percentile of latency: one for all networks, or one each.
        power_w: limit on the power of the board; needs a power sensor.
        slowdown: p99 of a critical network beside the others over that alone, at most, as in 1.1;
            what it has alone is measured before the service begins.
        goal: throughput (most inferences a second), energy (fewest joules for an inference; needs a
            power sensor) or latency (lowest p99).
        min_rate_ips: the least inferences a second, one for all networks, or one each; by default
            0.95 of the arrivals where the goal is energy or latency.
        risk: how boldly to try what may break a limit: bold, balanced, careful, or its price as a
            share of the best score so far, in 0.003..3.
        limits: a JSON file with any of the options above and min_agreement, read once a period. It
            may also name networks that come or go, and the rates to expect: {"active": {"a": true,
            "b": false}, "rate_ips": {"a": 30}}.
        active: the networks that are served at first, where others are to come and go as --limits
            says; by default all are served all the time.
        client: MODULE:FUNCTION that brings the requests: it is called in a thread with
            submit(network, inputs) -> Future; by default load is generated.
        keep_samples: keep N of the inputs that --client really sent, by chance, in FILE.npz for
            --samples: at the end, and once a minute. They stay in memory too, at most 1 GiB; only
            you may read the file. With several networks each has a file, FILE-NETWORK.npz.
        bundle: the policy; by default the one that comes with the project.
        period_s: length of a control period.
        periods: stop after so many; by default go on until SIGTERM.
        folder: keeps the last good configuration for the next start.
        journal: where the lines go; by default standard output.
        metrics_port: serve metrics for Prometheus on this port of 127.0.0.1.
        lock: keeps other controllers off this device.
        dry_run: print the first configuration and the limits, and stop.
        serve: the networks and the device.
        page: what happens, in the browser.
    """

    p99_ms: Optional[list[float]] = None
    power_w: Optional[float] = None
    slowdown: Optional[float] = None
    goal: str = Goal.THROUGHPUT.value
    min_rate_ips: Optional[list[float]] = None
    risk: str = RISK
    limits: Optional[Path] = None
    active: Optional[list[str]] = None
    client: Optional[str] = field(default=None, metadata={"metavar": "MODULE:FUNCTION"})
    keep_samples: Optional[list[str]] = field(
        default=None, metadata={"nargs": 2, "metavar": ("N", "FILE")}
    )
    bundle: Optional[Path] = None
    period_s: float = ControlOptions.period_s
    periods: Optional[int] = None
    folder: Path = field(default_factory=lambda: cache_folder() / "deploy")
    journal: Optional[Path] = None
    metrics_port: Optional[int] = None
    lock: Path = field(default_factory=usual_lock)
    dry_run: bool = False
    serve: ServeOptions = field(default_factory=ServeOptions)
    page: PageOptions = field(default_factory=PageOptions)


#: Options of serving that follow from others here.
HIDDEN = ("outside", "timeout_s", "seed")


def main(given: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(DeployCommand, deploy, given, __doc__ or "", HIDDEN)


def deploy(options: DeployCommand) -> int:
    """Open the device, put a controller on it, and serve until it is stopped."""
    if not options.period_s > 0 or (options.periods is not None and options.periods < 1):
        raise OptionError("period_s and periods must be above zero")
    given, networks = limits_given(options), len(options.serve.network)
    options.page.check()
    check_request(FEWEST, options.period_s, given, networks, options.risk)
    client, keeping = client_of(options), keeping_of(options)
    serving = replace(options.serve.serving, timeout_s=options.period_s, outside=bool(client))
    serve = replace(options.serve, serving=serving)
    check_slowdown(options.slowdown, serve)
    try:
        if options.slowdown is not None:
            serve.check()
            limits = limits_alone(serve, options.slowdown, options.p99_ms, options.period_s)
            options = replace(options, p99_ms=limits)
        return _deploy(options, serve, client, keeping)
    except StoppedEarly:  # before the service began, which has handlers of its own
        return 0


def _deploy(
    options: DeployCommand,
    serve: ServeOptions,
    client: ClientThread | None,
    keeping: tuple[int, Path] | None,
) -> int:
    with DeviceLock(options.lock), contextlib.ExitStack() as stack:
        journal = None if options.dry_run else Journal(options.journal)
        page = None
        opened = None if options.dry_run else options.page.opened()
        if opened is not None:
            shared = stack.enter_context(limits_file(options.limits))
            options = replace(options, limits=shared)
            page = PageBeside(opened, shared)
            stack.callback(page.close)
            opened.announce(changes_limits=True)  # from here on, whoever stops it ends both
        device = stack.enter_context(
            open_device(
                serve,
                power_w=options.power_w,
                needs_model=True,
                engines=FIRST,
                reserve=True,
                optional=options.active is not None,
                check=partial(check_limits, options),
            )
        )
        controller, made, served = controlled(options, device)
        for remark in made.limits.remarks():
            _log.warning("%s", remark)
        if journal is None:
            print(plan(served, made))
            return 0
        metrics = None
        if options.metrics_port is not None:
            metrics = Metrics(options.metrics_port, device.space)
            stack.callback(metrics.close)
        samples = None
        if keeping is not None:
            samples = KeptSamples(*keeping, device.space.workload, serve.serving.seed)
            device.runtime.watch_answers(samples.add)  # type: ignore[attr-defined]
            stack.callback(lambda: _log.info("kept %s", samples.describe()))
            stack.callback(samples.write)
        Service(
            controller,
            device,
            journal,
            metrics,
            client,
            samples,
            page.show if page else None,
            options.period_s,
            options.periods,
        ).serve()
        return 0


def controlled(
    options: DeployCommand, device: Device
) -> tuple[Controller | TenantControl, Assembled, Device]:
    """Put a controller on the device; return it, the parts of what serves first, and that part."""
    given, control = limits_given(options), ControlOptions(options.period_s)
    bundle = options.bundle or reference_bundle()
    others = (options.limits, bundle, options.folder, control, read_power_mode)
    if options.active is None:
        made = controller_of(device, given, *others)
        return made.controller, made, device
    tenants = TenantControl(device, given, *others)
    return tenants, tenants.now, tenants.device


def limits_given(options: DeployCommand) -> dict[str, Any]:
    """Return goal, limits, risk, and who is served at first, of the command line as data."""
    limits = (options.p99_ms, options.power_w, options.goal, options.min_rate_ips)
    given = asked(*limits, options.serve.min_agreement) | {"risk": options.risk}
    return given | {"active": options.active}


def check_limits(options: DeployCommand, space: ConfigurationSpace, has_power: bool) -> None:
    """Raise what is wrong with the limits, before an engine is built."""
    given, optional = limits_given(options), space.optional
    Limits(given, space.workload, has_power, options.limits, optional=optional)


def client_of(options: DeployCommand) -> ClientThread | None:
    """Return the user's own program that brings the requests; OptionError where none can be run."""
    name, runtime = options.client, options.serve.runtime
    if name is None:
        return None
    found = client_at(name)
    if not options.serve.rate_ips:
        raise OptionError(
            "--client needs --rate-ips: say about how many requests a second will come; the"
            " controller then follows those that do come"
        )
    if runtime in ("simulated", "replayed"):
        raise OptionError(
            f"--client needs a runtime that serves: --runtime {runtime} only answers what a window"
            " would give"
        )
    return ClientThread(found, name)


def keeping_of(options: DeployCommand) -> tuple[int, Path] | None:
    """Return how many samples to keep, and in which file; OptionError where that makes no sense."""
    if options.keep_samples is None:
        return None
    count, path = options.keep_samples[0], Path(options.keep_samples[1])
    if not re.fullmatch(r"[1-9]\d{0,8}", count) or path.suffix != ".npz":
        raise OptionError(
            f"--keep-samples {count} {path}: give a whole number above zero and a file .npz, as in"
            " --keep-samples 500 samples.npz"
        )
    if options.client is None:
        raise OptionError("--keep-samples needs --client: load that is generated here is no sample")
    check_writable(path, "choose another file for --keep-samples")
    return int(count), path


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
