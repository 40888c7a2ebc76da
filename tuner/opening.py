"""Open each runtime by name: find the device, read the networks, check, and build engines."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from envs.accuracy.judging import Examined
from envs.arrays import Placements
from envs.catalog.boards import board
from envs.errors import NetworkError, OptionError
from envs.graph.layer_table import LayerTable
from envs.graph.layers import read_network_and_layers
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.protocol import Runtime
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import model_for
from envs.simulator.machine import device_of
from envs.spec import (
    UNCALIBRATED,
    Agreement,
    Agreements,
    ConfigurationSpace,
    DeviceSpec,
    Kind,
    Network,
    Objective,
    accelerator,
    local_computer,
)
from envs.telemetry.power_mode import read_power_mode
from envs.telemetry.sensors import probe_sensor
from envs.traces.reader import find_trace, read_trace
from envs.traces.remark import remark
from tuner.answers import (
    JudgedFactory,
    below,
    examined_networks,
    judge_copies,
    judge_engines,
    judged,
    no_choice,
    unjudged_pairs,
    warn_of_few,
    without,
)
from tuner.model_at import ModelAt, models_of, rates_of, remarks_on
from tuner.options import ServeOptions
from tuner.recorded_answers import recorded

if TYPE_CHECKING:
    from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
    from envs.runtimes.tensorrt.progress import BuildProgress

logger = logging.getLogger(__name__)


#: A factory of engines that can be judged.
Factory = TypeVar("Factory", bound=JudgedFactory)


class Parts(NamedTuple):
    """The parts of a `tuner.device.Device`, in the order of its fields."""

    runtime: Runtime
    model_at: ModelAt
    candidates: Placements | None = None
    remarks: Callable[[], list[str]] = list
    agreements: Agreements = MappingProxyType({})
    min_agreement: float = 0.0


class Demands(NamedTuple):
    """The demands on a live device, which are checked before engines are built.

    Attributes:
        power_w: a power limit that will be set; None for none.
        needs_model: True if there must be a model of the device.
    """

    power_w: float | None = None
    needs_model: bool = False


def open_parts(serve: ServeOptions, demands: Demands) -> Parts:
    """Return the parts of the device that options describe, which were checked already."""
    if serve.runtime == "replayed":
        return _replayed(serve)
    if serve.runtime == "simulated":
        return _simulated(serve)
    return (_tensorrt if serve.runtime == "tensorrt" else _onnxruntime)(serve, demands)


def _replayed(serve: ServeOptions) -> Parts:
    trace = read_trace(find_trace(serve.trace or ""))
    if trace.metadata.get("runtime") == "simulated":
        logger.warning("%s was recorded in the device model: nothing was measured", trace.path.name)
    if told := remark(trace):
        logger.warning("%s", told)
    layers = None
    if serve.network:
        networks, layers = _read(serve, serve.files())
        trace.check_networks(networks)
    space, candidates = recorded(trace, serve)
    return Parts(
        ReplayedRuntime(trace, space),
        models_of(space, layers, engines=trace.engines),
        candidates,
        min_agreement=serve.min_agreement,
    )


def _simulated(serve: ServeOptions) -> Parts:
    module = board(serve.board or "agx_orin_64")
    device = device_of(module.name, serve.mode or next(iter(module.power_modes)))
    device = _narrowed(device, serve)
    paths = serve.files()
    networks, layers = _read(serve, paths)
    examined = examined_networks(serve, paths, networks)
    space = serve.space(device, [each.network for each in examined])
    space = without(space, no_choice(space, examined, serve.allow_uncalibrated))
    space = replace(space, unjudged=unjudged_pairs(space, examined))
    space, agreements = _judged(
        space, judge_copies(space, examined, serve.cache_path), serve.min_agreement
    )
    engines = _precisions(device)
    runtime = SimulatedRuntime(model_for(space, layers, **engines), agreements=agreements)
    models = models_of(space, layers, engines=engines)
    return Parts(runtime, models, agreements=agreements, min_agreement=serve.min_agreement)


def _onnxruntime(serve: ServeOptions, demands: Demands) -> Parts:
    device = _narrowed(local_computer(cores=serve.cores), serve)

    def factory_of(space: ConfigurationSpace, examined: list[Examined]) -> OnnxEngineFactory:
        paths, samples = [each.path for each in examined], [each.calibrating for each in examined]
        return OnnxEngineFactory(space, paths, serve.cache_path, samples)

    return _live(serve, device, factory_of, lambda factory: factory.prepare(), demands)


def _tensorrt(serve: ServeOptions, demands: Demands) -> Parts:
    # Imported here: every start without a GPU would wait for it.
    from envs.runtimes.tensorrt.cuda import Cuda
    from envs.runtimes.tensorrt.device import jetson_device
    from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
    from envs.runtimes.tensorrt.versions import load_bindings

    bindings, cuda = load_bindings(), Cuda()
    device = jetson_device(bindings, cuda)
    for guess in remarks_on(device, serve.board, serve.mode):
        logger.warning("%s", guess)
    device = _narrowed(device, serve)
    if not any(each.kind is Kind.DLA for each in device.accelerators):
        logger.warning("without DLAs: the builder of this TensorRT counts none")
    made: list[TensorRTEngineFactory] = []

    def factory_of(space: ConfigurationSpace, examined: list[Examined]) -> TensorRTEngineFactory:
        factory = TensorRTEngineFactory(
            space,
            [each.path for each in examined],
            serve.cache_path / "tensorrt",
            bindings=bindings,
            cuda=cuda,
            samples=[each.calibrating for each in examined],
        )
        made.append(factory)
        return factory

    live = _live(serve, device, factory_of, lambda each: each.prepare(_say_progress), demands)
    return live._replace(remarks=lambda: _fallbacks(made[0]))


def _live(
    serve: ServeOptions,
    device: DeviceSpec,
    factory_of: Callable[[ConfigurationSpace, list[Examined]], Factory],
    prepare: Callable[[Factory], Mapping[tuple[int, int], NetworkError]],
    demands: Demands,
) -> Parts:
    """Check networks, sensor and demands; build the engines; leave out pairs without right answers.

    Args:
        serve: the options.
        device: to serve on.
        factory_of: makes the factory of engines for a space and its [T] networks.
        prepare: builds the engines of a factory, and returns why others cannot be built.
        demands: to check before anything is built.
    """
    on_gpu = serve.runtime == "tensorrt"
    paths = serve.files()
    networks, layers = _read(serve, paths)
    space = serve.space(device, networks)
    space.default()  # an empty space fails here, before a network is run
    engines = _precisions(device)
    mode = read_power_mode if on_gpu else None
    with contextlib.ExitStack() as undo:
        sensor = probe_sensor(serve.sensor, on_gpu=on_gpu)
        undo.callback(sensor.close)
        limit = Objective((), math.inf if demands.power_w is None else demands.power_w)
        limit.check_measurable(
            sensor.has_power, "no power is measured here (a sensor is missing or unreadable)"
        )
        if demands.needs_model:
            models_of(space, layers, serve.board, mode, engines, serve.mode)(rates_of(space))
        examined = examined_networks(serve, paths, networks)
        space = serve.space(device, [each.network for each in examined])
        space = without(space, no_choice(space, examined, serve.allow_uncalibrated))
        space.default()
        factory = factory_of(space, examined)
        undo.callback(factory.close)
        space = without(space, prepare(factory))
        space = replace(space, unjudged=unjudged_pairs(space, examined))
        judge_pair = judge_engines(space, examined, factory)
        space, agreements = _judged(space, judge_pair, serve.min_agreement)
        factory.unload(space.unavailable)
        runtime = ServingRuntime(
            space,
            factory,
            sensor,
            serve.serving,
            agreements=agreements,
            samples=[each.calibrating for each in examined],
        )
        undo.pop_all()
    return Parts(
        runtime,
        models_of(space, layers, serve.board, mode, engines, serve.mode),
        agreements=agreements,
        min_agreement=serve.min_agreement,
    )


def _judged(
    space: ConfigurationSpace, judge_pair: Callable[[int, int], Agreement], limit: float
) -> tuple[ConfigurationSpace, Agreements]:
    """Return the space without the pairs whose answers are not right, and what was measured."""
    agreements, errors = judged(space, judge_pair)
    space = without(space, errors | below(space, agreements, limit))
    warn_of_few(space, agreements, limit)
    if unjudged := space.uncalibrated():
        logger.warning("%s: %s", UNCALIBRATED, ", ".join(unjudged))
    return space, agreements


def _precisions(device: DeviceSpec) -> dict[str, Any]:
    """Return the precisions of Tensor Cores and DLAs, as `model_for` takes them."""
    names = {Kind.TENSOR_CORES: "precision", Kind.DLA: "dla_precision"}
    return {names[each.kind]: each.precision for each in device.accelerators if each.kind in names}


def _narrowed(device: DeviceSpec, serve: ServeOptions) -> DeviceSpec:
    """Return the device with the accelerators and precisions that may be used."""
    names = serve.accelerators
    for name in names or ():
        if name not in device.accelerator_names:
            raise OptionError(
                f"{device.name} has no accelerator {name!r}: choose from"
                f" {', '.join(device.accelerator_names)}"
            )
    if names is not None:
        device = replace(device, accelerators=tuple(accelerator(name) for name in names))
    return device if serve.precisions is None else device.with_precisions(serve.precisions)


def _read(
    serve: ServeOptions, paths: Sequence[Path]
) -> tuple[list[Network], tuple[LayerTable, ...]]:
    read = []
    for path, given in zip(paths, serve.network, strict=True):
        try:
            read.append(read_network_and_layers(path))
        except NetworkError as error:  # the user knows the file, not its copy with bound inputs
            raise NetworkError(str(error).replace(str(path), given)) from error
    return [network for network, _ in read], tuple(table for _, table in read)


def _say_progress(at: BuildProgress) -> None:
    """Say which engine is built: it takes minutes, once."""
    if at.what and not at.phase:
        logger.info("building engine %d of %d: %s", at.done + 1, at.total, at.what)


def _fallbacks(engines: TensorRTEngineFactory) -> list[str]:
    """Name the instances on a DLA part of which runs on the GPU: TensorRT does not say so."""
    return [
        f"{tenant} on {name}, batch {batch}: {layers.describe()}"
        for tenant, name, loaded in engines.placements()
        for batch, layers in loaded.items()
        if accelerator(name).kind is Kind.DLA and layers.fell_back
    ]
