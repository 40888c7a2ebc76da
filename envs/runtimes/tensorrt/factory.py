"""Engines of TensorRT: built once, kept on disk, loaded once, and shared by the instances that run them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import ConfigurationError, NetworkError
from envs.graph.onnx_file import open_model
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt.build import build, failed, may_pass, needs_ranges
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.cuda import Cuda, can_capture
from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.runtimes.tensorrt.graph import for_dla, read
from envs.runtimes.tensorrt.inspect import PlacedLayers, placed_layers
from envs.runtimes.tensorrt.lane import Lane, LoadedPlan
from envs.runtimes.tensorrt.precision import activation_ranges, demand_fp32
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity, spec_of
from envs.runtimes.tensorrt.versions import Bindings, load_bindings
from envs.spec.measurement import ConfigurationFailed
from envs.spec.network import Network
from envs.spec.space import ConfigurationSpace
from envs.telemetry.power_mode import read_power_mode
from envs.telemetry.protocol import Sensor
from envs.telemetry.sensors import probe_sensor


@dataclass(frozen=True)
class BuildProgress:
    """Where `prepare` is.

    Attributes:
        done, total: engines.
        what: the engine at hand, such as `resnet50 on dla, int8, batch 4`.
        phase: what the builder says it does; empty where it says nothing.
        phase_done, phase_total: steps of that phase.
    """

    done: int
    total: int
    what: str
    phase: str = ""
    phase_done: int = 0
    phase_total: int = 0


class TensorRTEngineFactory:
    """Loads engines of the workload's networks.

    Args:
        paths: [T] ONNX files, in the order of the tenants.
        cache: folder that keeps engines from one run to the next.
        graphs: whether GPU engines run as CUDA graphs where they can; DLA engines cannot (NVIDIA/TensorRT issue 3524).
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        paths: Sequence[Path],
        cache: Path,
        options: BuildOptions | None = None,
        bindings: Bindings | None = None,
        cuda: Cuda | None = None,
        graphs: bool = True,
    ) -> None:
        if len(paths) != len(space.workload.tenants):
            raise ConfigurationError(
                f"{len(paths)} ONNX files for {len(space.workload.tenants)} tenants"
            )
        self._space, self._paths = space, [Path(path) for path in paths]
        self._options = options or BuildOptions()
        self._cuda = cuda or Cuda()
        self._bindings = bindings or load_bindings()
        self._graphs = graphs and can_capture()
        self.cache = EngineCache(cache)
        self.host = self._describe_host()
        self._runtimes: dict[int | None, Any] = {}
        self._plans: dict[tuple[int, int, int], LoadedPlan] = {}
        self._engines: list[tuple[int, int, TensorRTEngine]] = []

    def prepare(
        self, progress: Callable[[BuildProgress], None] | None = None
    ) -> dict[tuple[int, int], NetworkError]:
        """Build now what will be needed, and load what the GPU runs, so that neither measurement nor service waits for it.

        Tells what is impossible, by (tenant, accelerator): there no batch size could be built. Where only some could, configurations with the
        others fail with the reason.
        """
        wanted = list(self._wanted())
        errors: dict[tuple[int, int], ConfigurationFailed] = {}
        possible = set()
        for position, (tenant, place, batch) in enumerate(wanted):
            what = self._describe(tenant, place, batch)

            def step(
                phase: str, done: int, total: int, position: int = position, what: str = what
            ) -> None:
                if progress is not None:
                    progress(BuildProgress(position, len(wanted), what, phase, done, total))

            step("", 0, 0)
            try:
                self._built(tenant, place, batch, step)
                possible.add((tenant, place))
            except ConfigurationFailed as error:
                errors[tenant, place] = error
        if progress is not None:
            progress(BuildProgress(len(wanted), len(wanted), ""))
        self._preload(wanted)
        return {
            pair: NetworkError(error.failure.reason)
            for pair, error in errors.items()
            if pair not in possible
        }

    def load(self, tenant: int, accelerator: int, threads: int) -> TensorRTEngine:
        """An instance; its contexts are made when it is told its batch sizes. `threads` is for other runtimes: the GPU needs none."""
        network = self._network(tenant)
        graphs = self._graphs and not self._spec(tenant, accelerator, 1).on_dla

        def lane_of(batch: int, stream: Any) -> Lane:
            return Lane(
                self._bindings,
                self._cuda,
                self._plan(tenant, accelerator, batch),
                network,
                stream,
                graphs,
            )

        engine = TensorRTEngine(
            self._cuda, network, lane_of, self._drop_unused, lambda: self._forget(engine)
        )
        self._engines.append((tenant, accelerator, engine))
        return engine

    def placements(self) -> list[tuple[str, str, dict[int, PlacedLayers]]]:
        """Of every instance that is loaded: tenant, accelerator, and where the layers run, by batch size.

        An instance on a DLA that computes on the GPU as well has `fell_back` set there: TensorRT itself does not say so.
        """
        names, places = self._space.workload.names, self._space.device.accelerator_names
        return [
            (names[tenant], places[place], engine.layers) for tenant, place, engine in self._engines
        ]

    def close(self) -> None:
        """Release every plan; the engines have been closed before."""
        with contextlib.suppress(Exception), self._cuda.current():
            self._plans.clear()
            self._runtimes.clear()

    def _wanted(self) -> Iterator[tuple[int, int, int]]:
        """(tenant, accelerator, batch) of all engines that a configuration may ask for; those of the second DLA core are those of the first."""
        tenants, accelerators = self._space.shape
        for tenant, place in itertools.product(range(tenants), range(accelerators)):
            fixed, most = (
                self._network(tenant).fixed_batch,
                self._space.device.accelerators[place].max_batch,
            )
            for batch in self._space.batches:
                if (fixed is None or batch == fixed) and (most is None or batch <= most):
                    yield tenant, place, batch

    def _network(self, tenant: int) -> Network:
        return self._space.workload.tenants[tenant].network

    def _spec(self, tenant: int, place: int, batch: int) -> EngineSpec:
        static = self._network(tenant).fixed_batch is not None or not self._bindings.shares_profiles
        return spec_of(self._space.device.accelerators[place].name, batch, self._options, static)

    def _describe(self, tenant: int, place: int, batch: int) -> str:
        spec = self._spec(tenant, place, batch)
        return f"{self._space.workload.names[tenant]} on {self._space.device.accelerators[place].name}, {spec.precision}, batch {batch}"

    def _describe_host(self) -> BuildHost:
        with self._cuda.current():
            facts = self._cuda.facts()
        return BuildHost(
            self._bindings.version,
            facts.name,
            "{}.{}".format(*facts.capability),
            facts.sm,
            read_power_mode(),
        )

    def _built(
        self,
        tenant: int,
        place: int,
        batch: int,
        step: Callable[[str, int, int], None] | None = None,
    ) -> tuple[bytes, dict[str, Any]]:
        """The plan and its notes, from the cache or built now; a build that was refused is not tried again."""
        network, spec = self._network(tenant), self._spec(tenant, place, batch)
        wanted = identity(network.sha256, spec, self.host, self._options)
        if (found := self.cache.load(wanted)) is not None:
            return found
        if (reason := self.cache.failure(wanted)) is not None:
            raise failed(network, spec, f"{reason} (remembered from an earlier build)")
        try:
            self._check_file(tenant, spec)
        except NetworkError as error:  # not remembered: the file may be what it was the next time
            raise failed(network, spec, str(error)) from error
        try:
            ranges = self._ranges(tenant, spec) if needs_ranges(self._bindings, spec) else None
            with self._cuda.current():
                built = build(
                    self._bindings,
                    self._paths[tenant],
                    network,
                    spec,
                    self._options,
                    ranges,
                    self.cache.timings(self.host),
                    step,
                )
        except NetworkError as error:
            if not may_pass(error):
                self.cache.remember_failure(wanted, str(error))
            raise failed(network, spec, str(error)) from error
        except ConfigurationFailed as error:
            if not may_pass(error):
                self.cache.remember_failure(wanted, error.failure.reason.split(": ", 1)[-1])
            raise
        self.cache.keep(wanted, built.plan, built.notes)
        if built.timings:
            self.cache.keep_timings(self.host, built.timings)
        return built.plan, built.notes

    def _check_file(self, tenant: int, spec: EngineSpec) -> None:
        """NetworkError if the file is not the one that the network was read from, or not of this precision; nothing outside its folder is read."""
        model, sha256 = open_model(self._paths[tenant])
        if sha256 != self._network(tenant).sha256:
            raise NetworkError(
                f"{self._paths[tenant]} has changed since it was read as {self._network(tenant).name}: read it again"
            )
        if spec.precision == "fp32":
            demand_fp32(model)

    def _ranges(self, tenant: int, spec: EngineSpec) -> dict[str, float]:
        """Of every tensor of the graph as it will be parsed; found once for all batch sizes."""
        network = self._network(tenant)
        name = f"ranges-{network.sha256}-{'dla' if spec.on_dla else 'gpu'}-{self._options.samples}"
        known = self.cache.load_json(name)
        if known is None:
            model = read(self._paths[tenant])
            known = activation_ranges(
                for_dla(model, network.fixed_batch or 1).model if spec.on_dla else model,
                network,
                self._options.samples,
            )
            self.cache.keep_json(name, known)
        return {key: float(value) for key, value in known.items()}

    def _preload(self, wanted: list[tuple[int, int, int]]) -> None:
        """Loads GPU plans while nothing serves: loading stalls what runs on the GPU for hundreds of ms (NVIDIA/TensorRT issue 2402).

        As many as fit into a quarter of the memory. A DLA core holds but 16 loadables, so that its plans are loaded when they are used.
        """
        left = self._space.device.memory_mib * 2**20 / 4
        for tenant, place, batch in wanted:
            if left > 0 and not self._spec(tenant, place, batch).on_dla:
                with contextlib.suppress(ConfigurationFailed):  # it says so when somebody wants it
                    left -= self._plan(tenant, place, batch).size

    def _plan(self, tenant: int, place: int, batch: int) -> LoadedPlan:
        """The loaded plan that all instances of this tenant on this accelerator share at this batch size."""
        key = (tenant, place, batch)
        if key not in self._plans:
            plan, notes = self._built(tenant, place, batch)
            network, spec = self._network(tenant), self._spec(tenant, place, batch)
            self._bindings.lines.clear()
            with self._cuda.current():
                engine = self._runtime(place).deserialize_cuda_engine(plan)
                if engine is None:
                    raise failed(
                        network,
                        spec,
                        f"the engine cannot be loaded: {self._bindings.lines.errors() or 'TensorRT does not say why'}",
                    )
                self._plans[key] = LoadedPlan(
                    engine,
                    spec,
                    dict(notes.get("scales", {})),
                    self._layers(engine, spec),
                    len(plan),
                )
        return self._plans[key]

    def _layers(self, engine: Any, spec: EngineSpec) -> PlacedLayers | None:
        with contextlib.suppress(ValueError):
            information = engine.create_engine_inspector().get_engine_information(
                self._bindings.trt.LayerInformationFormat.JSON
            )
            return placed_layers(information, spec.on_dla)
        return None

    def _runtime(self, place: int) -> Any:
        name = self._space.device.accelerators[place].name
        core = int(name.removeprefix("dla")) if name.startswith("dla") else None
        if core not in self._runtimes:
            self._runtimes[core] = self._bindings.runtime(core)
        return self._runtimes[core]

    def _forget(self, engine: TensorRTEngine) -> None:
        self._engines = [each for each in self._engines if each[2] is not engine]

    def _drop_unused(self) -> None:
        """Unloads the DLA plans that nobody uses: a core holds but 16 loadables."""
        with contextlib.suppress(Exception), self._cuda.current():
            for key in [
                key for key, plan in self._plans.items() if plan.spec.on_dla and plan.users == 0
            ]:
                del self._plans[key]


def tensorrt_runtime(
    space: ConfigurationSpace,
    paths: Sequence[Path],
    cache: Path,
    options: ServingOptions | None = None,
    sensor: Sensor | None = None,
    build_options: BuildOptions | None = None,
    progress: Callable[[BuildProgress], None] | None = None,
) -> ServingRuntime:
    """The live runtime of this GPU and its DLAs; builds what it needs before it returns.

    Raises:
        NetworkError: a tenant cannot be served on any accelerator.
        DependencyError: TensorRT, pycuda or the driver is missing.
    """
    factory = TensorRTEngineFactory(space, paths, cache, build_options)
    try:
        impossible = factory.prepare(progress)
        tenants, accelerators = space.shape
        for tenant in range(tenants):
            reasons = [impossible.get((tenant, place)) for place in range(accelerators)]
            if all(reasons):
                raise next(filter(None, reasons))
        return ServingRuntime(
            space, factory, sensor or probe_sensor(on_gpu=True), options or ServingOptions()
        )
    except BaseException:
        factory.close()
        raise
