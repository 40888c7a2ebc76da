"""Open a live device: cheap checks first, then engines, as few as its use needs."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from envs.accuracy.judging import Examined
from envs.errors import NetworkError, OptionError
from envs.optional import optional_import
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.onnxruntime.opening import by_openvino
from envs.runtimes.protocol import UNMEASURED
from envs.runtimes.serving.engine import BuildingFactory, Progress
from envs.runtimes.serving.engines_by_kind import EnginesByKind
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.serving.runtime import ServingRuntime
from envs.simulator.mapping_costs import Groups
from envs.spec import (
    UNCALIBRATED,
    Accelerator,
    ConfigurationFailed,
    ConfigurationSpace,
    DeviceSpec,
    Kind,
    Objective,
    accelerator,
    local_computer,
)
from envs.telemetry.power_mode import read_power_mode
from envs.telemetry.sensors import probe_sensor
from tuner.answers import (
    examined_networks,
    judge_engines,
    no_choice,
    unjudged_pairs,
    warn_of_few,
    without,
)
from tuner.last_resort import RESERVE, reserve_of, without_reserve
from tuner.mapped_space import mapped_networks
from tuner.model_at import ModelAt, models_of, rates_of, remarks_on
from tuner.options import ServeOptions
from tuner.parts import ALL, FIRST, PAIRS, Demands, Parts, engines_of, narrowed_device, read_all

if TYPE_CHECKING:
    from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
    from envs.runtimes.tensorrt.inspect import PlacedLayers

logger = logging.getLogger(__name__)

#: Seconds between two lines about the same build.
LINE_EVERY_S = 10.0

#: Makes the factory of engines for a space and its [T] networks.
FactoryOf = Callable[[ConfigurationSpace, list[Examined]], BuildingFactory]


def open_live(serve: ServeOptions, demands: Demands) -> Parts:
    """Return the parts of this computer's processor, or of its GPU and DLAs."""
    if serve.runtime == "tensorrt":
        return _tensorrt(serve, demands)
    device = narrowed_device(local_computer(cores=serve.cores), serve)
    return _live(serve, device, _onnx_factory(serve), demands)


def _onnx_factory(serve: ServeOptions) -> FactoryOf:
    def factory_of(space: ConfigurationSpace, examined: list[Examined]) -> OnnxEngineFactory:
        paths, samples = [each.path for each in examined], [each.calibrating for each in examined]
        return OnnxEngineFactory(space, paths, serve.cache_path, samples)

    return factory_of


def _tensorrt(serve: ServeOptions, demands: Demands) -> Parts:
    # Imported here: every start without a GPU would wait for it.
    from envs.runtimes.tensorrt.cuda import Cuda
    from envs.runtimes.tensorrt.device import jetson_device
    from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
    from envs.runtimes.tensorrt.spec import BuildOptions
    from envs.runtimes.tensorrt.versions import load_bindings

    options = BuildOptions(**serve.build_options())
    bindings, cuda = load_bindings(), Cuda()
    device = jetson_device(bindings, cuda)
    for guess in remarks_on(device, serve.board, serve.mode):
        logger.warning("%s", guess)
    device = narrowed_device(device, serve)
    if not any(each.kind is Kind.DLA for each in device.accelerators):
        logger.warning("without DLAs: the builder of this TensorRT counts none")
    if device.plain:
        raise OptionError(
            f"accelerators={serve.accelerators} names neither the GPU nor a DLA: leave it out, or"
            " serve on the processor with runtime=onnxruntime"
        )
    if _only_reserve(serve, demands):
        device = replace(device, accelerators=(*device.accelerators, accelerator(RESERVE)))
    made: list[TensorRTEngineFactory] = []

    def factory_of(space: ConfigurationSpace, examined: list[Examined]) -> BuildingFactory:
        factory = TensorRTEngineFactory(
            space,
            [each.path for each in examined],
            serve.cache_path / "tensorrt",
            options,
            bindings=bindings,
            cuda=cuda,
            samples=[each.calibrating for each in examined],
        )
        made.append(factory)
        if not any(each.kind is Kind.CPU for each in space.device.accelerators):
            return factory
        return EnginesByKind(factory, _onnx_factory(serve)(space, examined), space)

    try:
        live = _live(serve, device, factory_of, demands)
    except NothingServes as error:
        if not demands.reserve:
            raise
        return _on_processor(serve, demands, error)
    return live._replace(remarks=lambda: [*made[0].remarks(), *_fallbacks(made[0])])


def _only_reserve(serve: ServeOptions, demands: Demands) -> bool:
    """Return True if the processor must be able to serve, but is no choice."""
    return demands.reserve and RESERVE not in (serve.accelerators or ())


class NothingServes(OptionError):
    """No engine of the GPU or the DLAs can serve a network."""


def _on_processor(serve: ServeOptions, demands: Demands, error: NothingServes) -> Parts:
    """Return the parts of the processor alone, where nothing else can serve."""
    logger.warning("%s: the processor's cores serve instead", error)
    serve = replace(serve, runtime="onnxruntime", precisions=None, accelerators=None)
    return _live(serve, local_computer((RESERVE,)), _onnx_factory(serve), demands)


def _live(
    serve: ServeOptions, device: DeviceSpec, factory_of: FactoryOf, demands: Demands
) -> Parts:
    """Check networks, sensor and demands; then make engines ready and put a runtime over them."""
    if any(by_openvino(each) for each in device.accelerators):
        optional_import("openvino", "openvino")
    on_gpu = serve.runtime == "tensorrt"
    paths = serve.files()
    networks, layers = read_all(serve, paths)
    hidden = _only_reserve(serve, demands)
    bare, engines = serve.space(device, networks), engines_of(device, serve)
    mode = read_power_mode if on_gpu else None

    def models(space: ConfigurationSpace, groups: tuple[Groups, ...] = ()) -> ModelAt:
        return models_of(space, layers, serve.board, mode, engines, serve.mode, groups)

    mapped = mapped_networks(
        serve, bare, paths, lambda groups: models(bare, groups)(rates_of(bare)).machine
    )
    space = demands.tenants(without_reserve(mapped.of(bare), hidden))
    space.default()  # an empty space fails here, before a network is run
    with contextlib.ExitStack() as undo:
        sensor = probe_sensor(serve.sensor, on_gpu=on_gpu)
        undo.callback(sensor.close)
        limit = Objective((), math.inf if demands.power_w is None else demands.power_w)
        limit.check_measurable(sensor.has_power, UNMEASURED)
        if demands.needs_model:
            models(space, mapped.groups)(rates_of(space))
        demands.check(space, sensor.has_power)
        examined = examined_networks(serve, paths, networks)
        space = mapped.of(serve.space(device, [each.network for each in examined]))
        space = without_reserve(space, hidden)
        impossible = no_choice(space, examined, serve.allow_uncalibrated)
        space = without(space, {k: e for k, e in impossible.items() if k not in space.unavailable})
        space = demands.tenants(replace(space, unjudged=unjudged_pairs(space, examined)))
        space.default()
        factory = factory_of(space, examined)
        undo.callback(factory.close)
        readiness = Readiness(
            space,
            factory,
            judge_engines(space, examined, factory),
            serve.min_agreement,
            each_batch=on_gpu,
            show=Telling(),
        )
        engines_first = ALL if serve.build_all else demands.engines
        refused = _made_ready(readiness, engines_first if on_gpu else PAIRS)
        try:
            space = without(space, refused)
        except OptionError as error:
            raise NothingServes(str(error)) from error
        space = replace(space, unjudged=space.unjudged - space.unavailable)
        _tell(space, readiness, serve.min_agreement)
        readiness.leave_out(refused)
        factory.unload(space.unavailable)
        reserve = reserve_of(space, examined) if demands.reserve and on_gpu else None
        runtime = ServingRuntime(
            space,
            factory,
            sensor,
            serve.serving,
            agreements=readiness.agreements,
            samples=[each.calibrating for each in examined],
            readiness=readiness,
            reserve=reserve,
        )
        undo.pop_all()
    return Parts(
        runtime,
        models(space, mapped.groups),
        agreements=readiness.agreements,
        min_agreement=serve.min_agreement,
        readiness=readiness,
        reserve=reserve,
    )


def _made_ready(readiness: Readiness, engines: str) -> Mapping[tuple[int, int], NetworkError]:
    """Make engines ready, and return why pairs cannot serve.

    With FIRST it ends for a tenant as soon as one of its engines is ready.
    """
    served: set[int] = set()
    for place in readiness.places() if engines == ALL else readiness.firsts():
        if engines == FIRST and place.tenant in served:
            continue
        with contextlib.suppress(ConfigurationFailed):  # told below, with its reason
            readiness.make_ready(place)
            served.add(place.tenant)
    readiness.news()
    refused, errors = readiness.refused, dict[tuple[int, int], NetworkError]()
    for place, failure in refused.items():
        others = [each for each in readiness.places() if each[:2] == place[:2]]
        if engines != ALL or all(each in refused for each in others):
            reason = failure.reason.removeprefix(f"{readiness.describe(place)}: ")
            errors.setdefault(place[:2], NetworkError(reason))
    return errors


def _tell(space: ConfigurationSpace, readiness: Readiness, limit: float) -> None:
    warn_of_few(space, readiness.agreements, limit)
    if unjudged := space.uncalibrated():
        logger.warning("%s: %s", UNCALIBRATED, ", ".join(unjudged))


class Telling:
    """Tells the progress of builds, a line now and then."""

    def __init__(self) -> None:
        self._what, self._last_s = "", 0.0

    def __call__(self, progress: Progress) -> None:
        """Log it, unless a line about the same engine was logged just before."""
        line, now_s = progress.describe(), time.monotonic()
        what = line.split(":")[0]
        if what != self._what or now_s - self._last_s > LINE_EVERY_S:
            self._what, self._last_s = what, now_s
            logger.info("%s", line)


def _fell_back(where: Accelerator, layers: PlacedLayers) -> bool:
    """Return True if layers that belong on a DLA may be on the GPU."""
    if where.segments > 1:
        return bool(layers.gpu) or len(layers.dla) > where.segments
    if where.mapping is None:
        return layers.fell_back
    return len(layers.dla) != where.dla_parts


def _fallbacks(engines: TensorRTEngineFactory) -> list[str]:
    """Name the instances on a DLA part of which runs on the GPU: TensorRT does not say so."""
    return [
        f"{tenant} on {name}, batch {batch}: {layers.describe()}"
        for tenant, name, loaded in engines.placements()
        for batch, layers in loaded.items()
        if accelerator(name).kind is Kind.DLA and _fell_back(accelerator(name), layers)
    ]
