"""Plans of a workload's engines: built once, kept on disk, loaded once."""

import contextlib
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.errors import NetworkError
from envs.graph.onnx_file import open_model
from envs.runtimes.tensorrt.build import build, failed, may_pass
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.calibrations import Calibrations
from envs.runtimes.tensorrt.checks import check_types
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.host import describe_host
from envs.runtimes.tensorrt.inspect import PlacedLayers, placed_layers
from envs.runtimes.tensorrt.lane import LoadedPlan
from envs.runtimes.tensorrt.log import Step
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity, spec_of
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, ConfigurationSpace, Kind, Network


class EnginePlans:
    """Builds and loads plans by (tenant, accelerator, batch).

    Attributes:
        cache: plans on disk.
        host: the computer that they are built for.
        loaded: plans in memory.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        paths: Sequence[Path],
        cache: EngineCache,
        options: BuildOptions,
        bindings: Bindings,
        cuda: Cuda,
        samples: Sequence[Samples | None] | None = None,
    ) -> None:
        self._space, self._paths, self._options = space, paths, options
        self._bindings, self._cuda, self.cache = bindings, cuda, cache
        self._calibrations = Calibrations(
            paths,
            [tenant.network for tenant in space.workload.tenants],
            samples or [None] * len(paths),
            options.samples,
            cache,
        )
        self._runtimes: dict[int | None, Any] = {}
        self._failed: dict[str, str] = {}
        self.host = self._describe_host()
        self.loaded: dict[tuple[int, int, int], LoadedPlan] = {}

    def network(self, tenant: int) -> Network:
        """Return a tenant's network."""
        return self._space.workload.tenants[tenant].network

    def spec(self, tenant: int, accelerator: int, batch: int) -> EngineSpec:
        """Return the specification of the engine for this batch size."""
        network, used = self.network(tenant), self._space.device.accelerators[accelerator]
        static = network.fixed_batch is not None or not self._bindings.shares_profiles
        return spec_of(used, network, batch, self._options, static)

    def build(
        self, tenant: int, accelerator: int, batch: int, step: Step | None = None
    ) -> tuple[bytes, dict[str, Any]]:
        """Return a plan and its notes, from the cache or built now.

        Raises:
            ConfigurationFailed: it cannot be built; a build that was refused is not tried again.
        """
        network, spec = self.network(tenant), self.spec(tenant, accelerator, batch)
        calibration = self._calibrations.identity(tenant, spec.on_dla) if spec.calibrated else None
        wanted = identity(network.sha256, spec, self.host, self._options, calibration)
        if (kept := self.cache.load(wanted)) is not None:
            return kept
        key = self.cache.key(wanted)
        if key in self._failed:  # the other DLA core runs the same plan
            raise failed(network, spec, self._failed[key])
        if (reason := self.cache.failure(wanted)) is not None:
            hint = "remembered from an earlier build: remove its .failed.json to try again"
            raise failed(network, spec, f"{reason} ({hint})")
        try:
            self._check_file(tenant, spec)
        except NetworkError as error:  # not remembered: the file may be restored
            raise failed(network, spec, str(error)) from error
        try:
            ranges = self._calibrations.of(tenant, spec.on_dla) if spec.calibrated else None
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
                self._failed[key] = str(error)
                self.cache.remember_failure(wanted, str(error))
            raise failed(network, spec, str(error)) from error
        except ConfigurationFailed as error:
            if not may_pass(error):
                self._failed[key] = error.failure.reason.split(": ", 1)[-1]
                self.cache.remember_failure(wanted, self._failed[key])
            raise
        self.cache.keep(wanted, built.plan, built.notes)
        if built.timings:
            self.cache.keep_timings(self.host, built.timings)
        return built.plan, built.notes

    def load(self, tenant: int, accelerator: int, batch: int) -> LoadedPlan:
        """Return the loaded plan, which all instances of the tenant here share at this batch size.

        Raises:
            ConfigurationFailed: it cannot be built or loaded.
        """
        key = (tenant, accelerator, batch)
        if key not in self.loaded:
            plan, notes = self.build(tenant, accelerator, batch)
            spec = self.spec(tenant, accelerator, batch)
            self._bindings.lines.clear()
            with self._cuda.current():
                engine = self._runtime(accelerator).deserialize_cuda_engine(plan)
                if engine is None:
                    reason = self._bindings.lines.errors() or "TensorRT does not say why"
                    raise failed(
                        self.network(tenant), spec, f"the engine cannot be loaded: {reason}"
                    )
                scales = dict(notes.get("scales", {}))
                layers = self._layers(engine, spec)
                self.loaded[key] = LoadedPlan(engine, spec, scales, layers, len(plan))
        return self.loaded[key]

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how an INT8 engine was calibrated: the method, and the number of samples."""
        spec = self.spec(tenant, accelerator, 1)
        if not spec.calibrated:
            return "", 0
        found = self._calibrations.of(tenant, spec.on_dla)
        return found.method, found.samples

    def unload_unused(self) -> None:
        """Unload the DLA plans without users: a core holds 16 loadables only."""
        with contextlib.suppress(Exception), self._cuda.current():
            for key, plan in list(self.loaded.items()):
                if plan.spec.on_dla and plan.users == 0:
                    del self.loaded[key]

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the plans of pairs (tenant, accelerator) that have no users."""
        with contextlib.suppress(Exception), self._cuda.current():
            for key, plan in list(self.loaded.items()):
                if key[:2] in pairs and plan.users == 0:
                    del self.loaded[key]

    def free_mib(self) -> float:
        """Return the memory that the driver could still give; NaN where it does not tell."""
        with contextlib.suppress(Exception), self._cuda.current():
            return self._cuda.free_mib()
        return math.nan

    def close(self) -> None:
        """Unload every plan; the engines have been closed before."""
        with contextlib.suppress(Exception), self._cuda.current():
            self.loaded.clear()
            self._runtimes.clear()

    def _describe_host(self) -> BuildHost:
        with self._cuda.current():
            return describe_host(self._bindings.version, self._cuda.facts())

    def _check_file(self, tenant: int, spec: EngineSpec) -> None:
        """Raise NetworkError if the file has changed, or has other types than it needs.

        Nothing outside its folder is read.
        """
        model, sha256, _ = open_model(self._paths[tenant])
        if sha256 != self.network(tenant).sha256:
            raise NetworkError(
                f"{self._paths[tenant]} has changed since it was read as "
                f"{self.network(tenant).name}: read it again"
            )
        check_types(model, self.network(tenant), spec, self._bindings)

    def _layers(self, engine: Any, spec: EngineSpec) -> PlacedLayers | None:
        with contextlib.suppress(ValueError):
            information = engine.create_engine_inspector().get_engine_information(
                self._bindings.trt.LayerInformationFormat.JSON
            )
            return placed_layers(information, spec.on_dla)
        return None

    def _runtime(self, accelerator: int) -> Any:
        used = self._space.device.accelerators[accelerator]
        core = int(used.resource.removeprefix("dla")) if used.kind is Kind.DLA else None
        if core not in self._runtimes:
            self._runtimes[core] = self._bindings.runtime(core)
        return self._runtimes[core]
