"""Tune from Python: `optimize` finds the best configuration of a device within limits."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Union, cast

from envs.errors import OptionError
from envs.problems.problem import Problem
from envs.runtimes.protocol import check_objective
from envs.simulator.device_model import WINDOW_S
from envs.spec import Configuration, Objective, Outcome
from tuner.device import Device, open_device, serve_options
from tuner.options import ServeOptions, reference_bundle
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Tuner
from tuner.tuning import FEWEST, Answer, tune

_log = logging.getLogger(__name__)

#: Measurements of `optimize`, the confirmation included, where nothing else is said.
MEASUREMENTS = 8

Progress = Callable[[Configuration, Outcome], object]
TunerFactory = Callable[[Problem], Tuner]
Limits = Union[float, Sequence[float], None]


def optimize(
    networks: Device | ServeOptions | str | Path | Sequence[str | Path] = (),
    /,
    *,
    p99_ms: Limits = None,
    power_w: float | None = None,
    measurements: int = MEASUREMENTS,
    window_s: float = WINDOW_S,
    bundle: str | Path | None = None,
    tuner: Tuner | TunerFactory | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Answer:
    """Find the configuration with the most throughput that keeps the limits.

    Example:
        >>> answer = optimize("my.onnx", p99_ms=50)  # doctest: +SKIP
        >>> print(answer.configuration, answer.throughput_ips, answer.origin)  # doctest: +SKIP

    Args:
        networks: ONNX files, one for each tenant; all options as one `ServeOptions`; or a device
            that is open already, and stays open.
        p99_ms: limit on the 99th percentile of latency [ms]: one for all networks, or one each.
        power_w: limit on the power of the board [W]; needs a power sensor.
        measurements: at most so many, the confirmation included.
        window_s: length of each measurement [s].
        bundle: a policy bundle; by default the one that comes with the project.
        tuner: proposes configurations instead of the policy: an object with `ask` and `tell`, or a
            function (or class) that makes one from a `Problem`.
        progress: called with the configuration and its outcome after each measurement.
        options: fields of `ServeOptions` by name, such as `runtime="simulated"`.

    Returns:
        The answer; `limits_kept` is False where nothing that was measured kept the limits.

    Raises:
        TunerError: one sentence that names the error and the remedy, before anything is measured.
    """
    if isinstance(networks, Device):
        if options:
            raise OptionError(f"{', '.join(options)}: an open device has its options already")
        check_request(measurements, window_s)
        make = _factory(tuner, bundle)
        return _optimize(networks, p99_ms, power_w, measurements, window_s, make, progress)
    serve = serve_options(networks, **options)
    check_request(measurements, window_s, p99_ms, power_w, len(serve.network))
    make = _factory(tuner, bundle)
    with open_device(serve, power_w=power_w, needs_model=True) as device:
        return _optimize(device, p99_ms, power_w, measurements, window_s, make, progress)


def check_request(
    measurements: int,
    window_s: float,
    p99_ms: Limits = None,
    power_w: float | None = None,
    networks: int = 0,
) -> None:
    """Check what `optimize` is asked for; limits only where the number of networks is known.

    Raises:
        OptionError, ObjectiveError: a number cannot be used.
    """
    if measurements < FEWEST:
        raise OptionError(
            f"measurements={measurements} must be at least {FEWEST}: the default, one more, and"
            " the confirmation"
        )
    if not window_s > 0:
        raise OptionError(f"window_s={window_s} must be above zero")
    if networks:
        _objective(p99_ms, power_w, networks)


def _optimize(
    device: Device,
    p99_ms: Limits,
    power_w: float | None,
    measurements: int,
    window_s: float,
    make: TunerFactory,
    progress: Progress | None,
) -> Answer:
    objective = _objective(
        p99_ms, power_w, len(device.space.workload.tenants), device.min_agreement
    )
    check_objective(device.runtime, objective)
    problem = device.problem(objective)

    def measure(configuration: Configuration) -> Outcome:
        outcome = device.measure(configuration, window_s)
        if progress is not None:
            progress(configuration, outcome)
        return outcome

    return tune(make(problem), problem, measure, measurements)


def _objective(
    p99_ms: Limits, power_w: float | None, tenants: int, min_agreement: float = 0.0
) -> Objective:
    several = p99_ms is not None and not isinstance(p99_ms, (int, float, str))
    limits = list(p99_ms) if several else p99_ms  # type: ignore[arg-type]
    if isinstance(limits, list) and len(limits) == 1:
        limits = limits[0]
    given = {"p99_ms": limits, "power_w": power_w, "min_agreement": min_agreement}
    return Objective.from_dict(given, tenants)


def _factory(tuner: Tuner | TunerFactory | None, bundle: str | Path | None) -> TunerFactory:
    """Return a function that makes the tuner of a problem; a wrong bundle is found here."""
    if tuner is None:
        loaded = load_bundle(Path(bundle) if bundle else reference_bundle())
        return lambda problem: _learned(loaded, problem)
    if bundle is not None:
        raise OptionError("give either a bundle or a tuner, not both")
    if isinstance(tuner, type) or not hasattr(tuner, "ask"):
        return cast(TunerFactory, tuner)
    given = cast(Tuner, tuner)
    return lambda problem: given


def _learned(bundle: Bundle, problem: Problem) -> LearnedTuner:
    """Return the tuner of a bundle, and say whether a recording it was trained on counts here."""
    if bundle.twin is not None and problem.model is not None:
        _log.info("%s", bundle.twin.remark(problem.model))
    return LearnedTuner(bundle, problem)
