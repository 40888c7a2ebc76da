"""Tune from Python: `optimize` finds the best configuration, `map_layers` divides a network."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Union, cast

from envs.belief.risk import parse_risk
from envs.errors import OptionError
from envs.problems.problem import Problem
from envs.runtimes.protocol import UNMEASURED, check_objective
from envs.simulator.window_noise import WINDOW_S
from envs.spec import Configuration, ConfigurationSpace, Goal, Objective, Outcome, parse_goal
from tuner.alone import check_slowdown, limits_alone
from tuner.answer import Answer
from tuner.confirming import PAIRS
from tuner.control.journal import Journal
from tuner.device import Device, open_device, serve_options
from tuner.folders import reference_bundle
from tuner.map_answer import LayerMap, MapRequest, mapped_layers
from tuner.objectives import Limits, asked, objective_of, remarks_on
from tuner.options import ServeOptions
from tuner.pairs import MOST_PAIRS
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Tuner
from tuner.tuning import FEWEST, labelled, tune
from tuner.tuning_journal import TuningJournal

_log = logging.getLogger(__name__)

#: Measurements of the search of `optimize` at most, where nothing else is said.
MEASUREMENTS = 8

Progress = Callable[[Configuration, Outcome], object]
TunerFactory = Callable[[Problem], Tuner]
Risk = Union[str, float]

#: The price of a broken limit while tuning, where nothing else is said: it serves nobody yet.
RISK = "bold"


def optimize(
    networks: Device | ServeOptions | str | Path | Sequence[str | Path] = (),
    /,
    *,
    p99_ms: Limits = None,
    power_w: float | None = None,
    slowdown: float | None = None,
    goal: str = Goal.THROUGHPUT.value,
    min_rate_ips: Limits = None,
    risk: Risk | None = None,
    measurements: int = MEASUREMENTS,
    seconds: float | None = None,
    pairs: int = PAIRS,
    window_s: float = WINDOW_S,
    bundle: str | Path | None = None,
    tuner: Tuner | TunerFactory | None = None,
    progress: Progress | None = None,
    journal: str | Path | None = None,
    **options: Any,
) -> Answer:
    """Find the configuration that is best by the goal and keeps the limits.

    Example:
        >>> answer = optimize("my.onnx", p99_ms=50)  # doctest: +SKIP
        >>> print(answer.configuration, answer.throughput_ips, answer.origin)  # doctest: +SKIP

    Args:
        networks: ONNX files, one for each tenant; all options as one `ServeOptions`; or a device
            that is open already, and stays open.
        p99_ms: limit on the 99th percentile of latency [ms]: one for all networks, or one each.
        power_w: limit on the power of the board [W]; needs a power sensor.
        slowdown: p99 of a critical network beside the others over that alone, at most; what it has
            alone is measured first.
        goal: `throughput` (most inferences a second), `energy` (fewest joules for an inference;
            needs a power sensor) or `latency` (lowest p99).
        min_rate_ips: the least inferences a second, for all networks or one each. With arrivals and
            another goal than throughput it is by default 0.95 of them.
        risk: how boldly to try what may break a limit: `bold` (the default), `balanced`, `careful`,
            or the price of a broken limit as a share of the best score so far, in 0.003..3.
        measurements: of the search, at most; it ends when nothing more is worth measuring.
        seconds: of the search, at most, engine builds and other changes included. The policy weighs
            what each measurement costs against them; a window that began is finished.
        pairs: windows of the answer and of the default, in turns, that confirm the answer and give
            the ratio of the two: at most so many of each; 0 to confirm nothing.
        window_s: length of each measurement [s].
        bundle: a policy bundle; by default the one that comes with the project.
        tuner: proposes configurations instead of the policy: an object with `ask` and `tell`, or a
            function (or class) that makes one from a `Problem`.
        progress: called with the configuration and its outcome after each measurement.
        journal: a file that gets a JSON line for each measurement as it comes, as a service writes
            them: `python -m tuner.watch --journal` shows it.
        options: fields of `ServeOptions` by name, such as `runtime="simulated"`.

    Returns:
        The answer; `limits_kept` is False where nothing that was measured kept the limits.

    Raises:
        TunerError: one sentence that names the error and the remedy, before anything is measured.
    """
    given = asked(p99_ms, power_w, goal, min_rate_ips)
    if isinstance(networks, Device):
        if options or slowdown is not None:
            named = ", ".join([*options, *(["slowdown"] if slowdown is not None else [])])
            raise OptionError(f"{named}: an open device has its options already")
        check_request(measurements, window_s, pairs=pairs)
        make, numbers = _factory(tuner, bundle, risk, seconds), (measurements, pairs, window_s)
        return _optimize(networks, given, numbers, make, progress, _journal(journal))
    serve = serve_options(networks, **options)
    check_request(measurements, window_s, given, len(serve.network), pairs=pairs)
    make, numbers = _factory(tuner, bundle, risk, seconds), (measurements, pairs, window_s)
    check_slowdown(slowdown, serve)
    lines = _journal(journal)
    if slowdown is not None:
        serve.check()
        given["p99_ms"] = limits_alone(serve, slowdown, p99_ms, window_s)

    def check(space: ConfigurationSpace, has_power: bool) -> None:
        objective_of(given, space.workload).check_measurable(has_power, UNMEASURED)

    with open_device(serve, power_w=power_w, needs_model=True, check=check) as device:
        return _optimize(device, given, numbers, make, progress, lines)


def _journal(path: str | Path | None) -> Journal | None:
    """Open a journal, where one is wanted."""
    return None if path is None else Journal(Path(path))


def map_layers(network: str | Path, /, **options: Any) -> LayerMap:
    """Divide the layers of a network among the accelerators of a board, by the device model.

    Every number is simulated; nothing is measured.

    Example:
        >>> found = map_layers("resnet50", board="agx_xavier", latency_ms=5)
        >>> for each in found.front:
        ...     print(each.mapping.name, each.time_s, each.energy_j)  # doctest: +SKIP

    Args:
        network: an ONNX file, or the name of a reference network.
        options: fields of `tuner.map_answer.MapRequest` by name: board, mode, accelerators,
            precisions, batch, weight, limits and max_transitions.

    Returns:
        The front of time and energy, the mapping that is best within the limits (`chosen`, None
        where none keeps them), the single accelerators, and the gains over them.

    Raises:
        OptionError: there is no such option, or its value cannot be used.
        NetworkError: there is no such network, or its file cannot be read.
    """
    names = [each.name for each in fields(MapRequest)]
    for name in options:
        if name not in names:
            raise OptionError(f"there is no option {name}: choose from {', '.join(names)}")
    return mapped_layers(network, MapRequest(**options))


def check_request(
    measurements: int,
    window_s: float,
    given: Mapping[str, Any] | None = None,
    networks: int = 0,
    risk: Risk = RISK,
    pairs: int = PAIRS,
) -> None:
    """Check what `optimize` is asked for; limits only where the number of networks is known.

    Args:
        measurements: see `optimize`.
        window_s: the same.
        given: goal and limits, see `tuner.objectives.asked`.
        networks: their number, 0 where a recording has them.
        risk: see `optimize`.
        pairs: the same.

    Raises:
        OptionError, ObjectiveError: a value cannot be used.
    """
    if measurements < FEWEST:
        raise OptionError(
            f"measurements={measurements} must be at least {FEWEST}: the default and one more"
        )
    if not 0 <= pairs <= MOST_PAIRS:
        raise OptionError(f"pairs={pairs} must lie in 0..{MOST_PAIRS}; 0 confirms nothing")
    if not window_s > 0:
        raise OptionError(f"window_s={window_s} must be above zero")
    parse_risk(risk)
    if given is not None:
        parse_goal(given.get("goal"))
        if networks:
            Objective.from_dict(dict(given), networks)


def _optimize(
    device: Device,
    given: Mapping[str, Any],
    numbers: tuple[int, int, float],
    make: TunerFactory,
    progress: Progress | None,
    journal: Journal | None,
) -> Answer:
    measurements, pairs, window_s = numbers
    given = {**given, "min_agreement": device.min_agreement}
    objective = objective_of(given, device.space.workload)
    check_objective(device.runtime, objective)
    for remark in remarks_on(given, objective, device.space.workload):
        _log.warning("%s", remark)
    problem = device.problem(objective)
    lines = None if journal is None else TuningJournal(journal, problem)

    def measure(configuration: Configuration) -> Outcome:
        outcome = device.measure(configuration, window_s)
        if progress is not None:
            progress(labelled(device.space, configuration), outcome)
        if lines is not None:
            lines.add(configuration, outcome)
        return outcome

    return tune(make(problem), problem, measure, measurements, pairs)


def _factory(
    tuner: Tuner | TunerFactory | None,
    bundle: str | Path | None,
    risk: Risk | None,
    seconds: float | None,
) -> TunerFactory:
    """Return a function that makes the tuner of a problem; a wrong bundle is found here."""
    if tuner is None:
        price = parse_risk(RISK if risk is None else risk)
        if seconds is not None and not seconds > 0:
            raise OptionError(f"seconds={seconds} must be above zero")
        loaded = load_bundle(Path(bundle) if bundle else reference_bundle())
        return lambda problem: _learned(loaded, problem, price, seconds or math.inf)
    if bundle is not None:
        raise OptionError("give either a bundle or a tuner, not both")
    for key, value in (("risk", risk), ("seconds", seconds)):
        if value is not None:
            raise OptionError(f"{key}={value} belongs to the policy: leave it out with a tuner")
    if isinstance(tuner, type) or not hasattr(tuner, "ask"):
        return cast(TunerFactory, tuner)
    given = cast(Tuner, tuner)
    return lambda problem: given


def _learned(bundle: Bundle, problem: Problem, risk: float, budget_s: float) -> LearnedTuner:
    """Return the tuner of a bundle, and say whether a recording it was trained on counts here."""
    if bundle.twin is not None and problem.model is not None:
        _log.info("%s", bundle.twin.remark(problem.model))
    return LearnedTuner(bundle, problem, risk, budget_s)
