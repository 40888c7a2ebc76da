"""Are the answers right? Examine networks, and judge the accelerators before they serve."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from envs.accuracy.emulation import emulated
from envs.accuracy.judging import Examined, Judge, examine
from envs.accuracy.samples import read_samples
from envs.catalog.edge_tpus import is_profiled
from envs.errors import NetworkError, OptionError, TunerError, one_line
from envs.graph.number_types import integer_operators
from envs.runtimes.onnxruntime.opening import serves_files
from envs.runtimes.serving.engine import BuildingFactory
from envs.runtimes.serving.judging import outputs_of
from envs.spec import CLASSES, Agreement, ConfigurationSpace, Kind, Network, Place, below_limit
from tuner.options import ServeOptions

logger = logging.getLogger(__name__)

Pair = tuple[int, int]


def examined_networks(
    serve: ServeOptions, paths: Sequence[Path], networks: Sequence[Network]
) -> list[Examined]:
    """Return the networks as they can be served, with the samples that were given for them.

    What is wrong with samples is found before a network is loaded; a network that can be served at
    a batch of one only is named in a warning.

    Raises:
        OptionError: samples are missing for a network, or do not fit it.
        NetworkError: ONNX Runtime cannot load or run a network.
    """
    files: Sequence[str | None] = serve.samples or [None] * len(networks)
    samples = [
        None if file is None else read_samples(file, network)
        for file, network in zip(files, networks, strict=True)
    ]
    found = []
    for path, network, given in zip(paths, networks, samples, strict=True):
        examined = examine(path, network, given, serve.cache_path)
        if examined.single_because:
            logger.warning(
                "%s is served at batch 1 only: %s", network.name, examined.single_because
            )
        found.append(examined)
    return found


def no_choice(
    space: ConfigurationSpace, examined: Sequence[Examined], allow_uncalibrated: bool
) -> dict[Pair, NetworkError]:
    """Return why a network is no choice on an accelerator, before any engine is built.

    An INT8 accelerator needs samples to calibrate on, a processor a file that ONNX Runtime can load
    (some in BF16 it cannot), an Edge TPU published times, and a network that is quantised already
    cannot compute in FP32, nor on a board with operators that compute in INT8 themselves.
    """
    errors = {}
    for tenant, each in enumerate(examined):
        others = integer_operators(each.path) if each.network.quantised else []
        for column, accelerator in enumerate(space.device.accelerators):
            fp32 = accelerator.precision == "fp32"
            if each.network.quantised and fp32:
                errors[tenant, column] = NetworkError("the file is an INT8 network already")
            elif each.unloadable and fp32 and accelerator.kind is Kind.CPU:
                errors[tenant, column] = NetworkError(each.unloadable)
            elif accelerator.kind is Kind.EDGE_TPU and not is_profiled(each.network.name):
                errors[tenant, column] = NetworkError(
                    "nobody has published what it takes on an Edge TPU"
                )
            elif others and accelerator.kind not in (Kind.CPU, Kind.EDGE_TPU):
                errors[tenant, column] = NetworkError(
                    f"TensorRT has no {others[0]}: quantise it with QuantizeLinear and"
                    " DequantizeLinear"
                )
            elif _uncalibrated(space, tenant, column, each) and not allow_uncalibrated:
                errors[tenant, column] = NetworkError(
                    "INT8 needs samples to calibrate on: give --samples FILE, or"
                    " --allow-uncalibrated if the answers do not matter"
                )
    return errors


def _uncalibrated(space: ConfigurationSpace, tenant: int, column: int, each: Examined) -> bool:
    return (
        space.device.accelerators[column].precision == "int8"
        and not each.network.quantised
        and each.calibrating is None
    )


def unjudged_pairs(space: ConfigurationSpace, examined: Sequence[Examined]) -> frozenset[Pair]:
    """Return the pairs that serve uncalibrated, because the user allowed it."""
    return frozenset(
        (tenant, column)
        for tenant, each in enumerate(examined)
        for column in range(space.shape[1])
        if (tenant, column) not in space.unavailable and _uncalibrated(space, tenant, column, each)
    )


def judged(
    space: ConfigurationSpace, judge_pair: Callable[[int, int], Agreement]
) -> tuple[dict[Pair, Agreement], dict[Pair, NetworkError]]:
    """Return the agreement of every pair that may serve, and why others cannot be judged.

    Args:
        space: pairs that are not available or not to be judged are left out.
        judge_pair: returns the agreement of a tenant on an accelerator.
    """
    agreements: dict[Pair, Agreement] = {}
    errors: dict[Pair, NetworkError] = {}
    tenants, accelerators = space.shape
    for tenant in range(tenants):
        for column in range(accelerators):
            pair = (tenant, column)
            if pair in space.unavailable or pair in space.unjudged:
                continue
            try:
                agreements[pair] = judge_pair(tenant, column)
            except TunerError as error:
                errors[pair] = NetworkError(str(error))
            except Exception as error:  # the errors of drivers have no common base
                errors[pair] = NetworkError(f"its answers cannot be judged ({one_line(error)})")
    return agreements, errors


def judge_engines(
    space: ConfigurationSpace, examined: Sequence[Examined], factory: BuildingFactory
) -> Callable[[Place], Agreement]:
    """Return a function that loads the engine of a place and compares it with FP32."""
    judge = Judge(examined)

    def judge_place(place: Place) -> Agreement:
        tenant, column, batch = place
        network, used = examined[tenant].network, space.device.accelerators[column]
        if serves_files(used) and (used.precision == "fp32" or network.quantised):
            return judge.same(tenant)
        engine = factory.load(tenant, column, space.device.cores)
        try:
            found = judge.agreement(
                tenant, lambda given: outputs_of(engine, network, given, (batch,))
            )
        finally:
            engine.close()
        method, count = factory.calibration(tenant, column)
        return replace(found, calibration=method, calibrated_on=count)

    return judge_place


def judge_copies(
    space: ConfigurationSpace, examined: Sequence[Examined], cache: Path
) -> Callable[[int, int], Agreement]:
    """Return a function that judges a pair of a simulated board on this processor."""
    judge = Judge(examined)

    def judge_pair(tenant: int, column: int) -> Agreement:
        precision = space.device.accelerators[column].precision
        return emulated(judge, tenant, examined[tenant], precision, cache)

    return judge_pair


def below(
    space: ConfigurationSpace, agreements: Mapping[Pair, Agreement], limit: float
) -> dict[Pair, NetworkError]:
    """Return why the pairs that break the limit on agreement are no choice."""
    return {
        pair: NetworkError(below_limit(each, limit))
        for pair, each in agreements.items()
        if not each.keeps(limit)
    }


def warn_of_few(
    space: ConfigurationSpace, agreements: Mapping[Pair, Agreement], limit: float
) -> None:
    """Warn once for each network whose classes are those of too few samples to tell the limit."""
    enough = round(1 / (1 - limit)) if limit < 1 else 0
    few = {
        tenant: each.samples
        for (tenant, _), each in agreements.items()
        if each.quantity == CLASSES and each.keeps(limit) and 0 < each.samples < enough
    }
    for tenant, samples in few.items():
        logger.warning(
            "%s is judged by %d sample%s, too few to tell an agreement of %g from 1: give %d",
            space.workload.names[tenant],
            samples,
            "s"[: samples != 1],
            limit,
            2 * enough,
        )


def without(space: ConfigurationSpace, errors: Mapping[Pair, NetworkError]) -> ConfigurationSpace:
    """Return the space without these pairs, and tell each reason once.

    Raises:
        OptionError: nothing is left that can serve a network.
    """
    names, accelerators = space.workload.names, space.device.accelerator_names
    reasons: dict[str, dict[str, list[str]]] = {}
    for (tenant, column), error in sorted(errors.items()):
        columns = reasons.setdefault(str(error), {})
        columns.setdefault(names[tenant], []).append(accelerators[column])
    for reason, columns in reasons.items():
        for used in dict.fromkeys(map(tuple, columns.values())):
            owners = [name for name, each in columns.items() if tuple(each) == used]
            logger.warning("without %s for %s: %s", ", ".join(used), ", ".join(owners), reason)
    unavailable = space.unavailable | set(errors)
    for tenant, name in enumerate(names):
        if all((tenant, column) in unavailable for column in range(space.shape[1])):
            raise OptionError(f"{name} cannot be served here: {_last(errors, tenant)}")
    return replace(space, unavailable=unavailable)


def _last(errors: Mapping[Pair, NetworkError], tenant: int) -> str:
    reasons: Iterable[str] = dict.fromkeys(
        str(error) for (owner, _), error in errors.items() if owner == tenant
    )
    return "; ".join(reasons) or "no accelerator is left"
