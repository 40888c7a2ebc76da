"""Plans in memory: each is loaded once, and shared by the instances that run it."""

import contextlib
import logging
import math
import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from envs.runtimes.tensorrt.build import failed
from envs.runtimes.tensorrt.builds import EngineBuilds
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.inspect import PlacedLayers, placed_layers
from envs.runtimes.tensorrt.loaded import LoadedPlan
from envs.runtimes.tensorrt.refusals import PlanRefused, not_loaded
from envs.runtimes.tensorrt.spec import EngineSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, DeviceSpec, FailureKind, Kind, Place

logger = logging.getLogger(__name__)


class EnginePlans:
    """Loads plans by (tenant, accelerator, batch), and unloads them. Thread-safe.

    Args:
        builds: makes what is not there.
        device: has the accelerators.
        bindings: TensorRT.
        cuda: the GPU.

    Attributes:
        loaded: plans in memory.
    """

    def __init__(
        self, builds: EngineBuilds, device: DeviceSpec, bindings: Bindings, cuda: Cuda
    ) -> None:
        self._builds, self._device = builds, device
        self._bindings, self._cuda = bindings, cuda
        self._runtimes: dict[int | None, Any] = {}
        self._lock = threading.RLock()
        self.loaded: dict[tuple[int, int, int], LoadedPlan] = {}

    @contextlib.contextmanager
    def in_use(self, tenant: int, accelerator: int, batch: int) -> Iterator[LoadedPlan]:
        """Load a plan, and keep it at least until the block ends.

        All instances of the tenant on the accelerator share it at this batch size.

        Raises:
            ConfigurationFailed: it cannot be built or loaded.
        """
        with self._lock:
            plan = self._loaded(tenant, accelerator, batch)
            if plan is not None:
                plan.hold()
        if plan is None:
            plan = self._held(Place(tenant, accelerator, batch))
        try:
            yield plan
        finally:
            plan.release()

    def borrowed(self, tenant: int, accelerator: int, batch: int) -> str:
        """Return the power mode whose plan serves until the own one is built; empty if none."""
        plan, wanted = self.loaded.get((tenant, accelerator, batch)), self._builds.host
        if plan is not None:
            built_for = plan.host
        elif (found := self._builds.usable(tenant, accelerator, batch)) is not None:
            built_for = found["host"]
        else:
            return ""
        return "" if built_for == wanted.to_dict() else str(built_for["power_mode"])

    def keep_borrowed(self, place: Place, reason: str) -> None:
        """Remove the own plan, which does not work, where one of another power mode serves.

        Args:
            place: that the plan was made for.
            reason: why it does not work.
        """
        own, host = self._builds.spec(*place).built, self._builds.host.to_dict()
        with self._lock, self._cuda.current():
            gone = [
                key
                for key, plan in self.loaded.items()
                if key[:2] == place[:2] and plan.spec.built == own and plan.host == host
            ]
            for key in gone:
                del self.loaded[key]
            self._builds.give_up(self._builds.identity(*place), reason)

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return how many loadables of a DLA the largest plan takes; 1 where that is not known."""
        return self._builds.most_loadables(tenant, accelerator)

    def unload_unused(self) -> None:
        """Unload the DLA plans without users: a core holds 16 loadables only."""
        with contextlib.suppress(Exception), self._lock, self._cuda.current():
            for key, plan in list(self.loaded.items()):
                if plan.spec.on_dla and plan.users == 0:
                    del self.loaded[key]

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the plans of pairs (tenant, accelerator) that have no users."""
        with contextlib.suppress(Exception), self._lock, self._cuda.current():
            for key, plan in list(self.loaded.items()):
                if key[:2] in pairs and plan.users == 0:
                    del self.loaded[key]

    def forget(self, tenant: int, accelerator: int, batch: int) -> None:
        """Let the next user load another plan; who has this one keeps it."""
        with self._lock, self._cuda.current():
            self.loaded.pop((tenant, accelerator, batch), None)

    def free_mib(self) -> float:
        """Return the memory that the driver could still give; NaN where it does not tell."""
        with contextlib.suppress(Exception), self._cuda.current():
            return self._cuda.free_mib()
        return math.nan

    def close(self) -> None:
        """Unload every plan; the engines have been closed before."""
        with contextlib.suppress(Exception), self._lock, self._cuda.current():
            self.loaded.clear()
            self._runtimes.clear()

    def _held(self, place: Place) -> LoadedPlan:
        """Load a plan and count a user; build it where there is none that TensorRT takes.

        A plan that was refused is removed. One of another power mode may take its place.
        """
        tried: list[dict[str, Any]] = []
        # A build takes minutes, in which other threads load and unload: no lock is held.
        while (found := self._builds.usable(*place)) is not None and found not in tried:
            try:
                return self._load_and_hold(place)
            except PlanRefused as refusal:
                tried.append(found)
                self._builds.cache.discard(refusal.identity)
                logger.warning(
                    "%s cannot be loaded and is removed: %s",
                    self._builds.describe(place),
                    refusal.reason,
                )
        self._builds.make(*place)
        try:
            plan = self._load_and_hold(place)
        except PlanRefused as refusal:
            reason = f"it cannot be loaded although it was just built: {refusal.reason}"
            self._builds.give_up(refusal.identity, reason)
            with self._builds.at(place):
                spec = self._builds.spec(*place)
                raise failed(self._builds.network(place.tenant), spec, reason) from None
        return plan

    def _load_and_hold(self, place: Place) -> LoadedPlan:
        """Load a plan that was built and count a user, or raise PlanRefused."""
        with self._lock, self._builds.at(place):
            plan = self._load(*place)
            plan.hold()
        return plan

    def _load(self, tenant: int, accelerator: int, batch: int) -> LoadedPlan:
        """Return the loaded plan of an engine that was built, under the lock."""
        key = (tenant, accelerator, batch)
        if key not in self.loaded and (same := self._of_other_batch(*key)) is not None:
            self.loaded[key] = same
        if key not in self.loaded:
            plan, notes, identity = self._builds.read(*key)
            spec = self._builds.spec(*key)
            if spec.on_dla:
                self._check_room(Place(*key))
            self._bindings.lines.clear()
            with self._cuda.current():
                engine = self._runtime(accelerator).deserialize_cuda_engine(plan)
                if engine is None:
                    reason = self._bindings.lines.errors() or "TensorRT does not say why"
                    raise not_loaded(self._builds.network(tenant), spec, reason, identity)
                layers = self._layers(engine, spec)
                scales = dict(notes.get("scales", {}))
                host = identity["host"]
                self.loaded[key] = LoadedPlan(engine, spec, scales, layers, len(plan), host)
            if mode := self.borrowed(*key):
                logger.warning(
                    "%s on %s: its engine of power mode %s serves until that of %s is built",
                    self._builds.network(tenant).name,
                    self._device.accelerators[accelerator].name,
                    mode,
                    self._builds.host.power_mode,
                )
            if layers is not None and layers.dla:
                self._builds.keep_loadables(Place(*key), len(layers.dla))
        return self.loaded[key]

    def _check_room(self, place: Place) -> None:
        """Raise ConfigurationFailed if the DLA core of a plan does not hold its loadables as well.

        TensorRT would fail with an error that does not say why, or break what runs there.
        """
        self.unload_unused()
        core, most = self._core(place.accelerator), self._most(place.accelerator)
        there = sum(
            self._builds.loadables(Place(*key)) for key in self.loaded if self._core(key[1]) == core
        )
        wanted = self._builds.loadables(place)
        if there + wanted > most:
            network, spec = self._builds.network(place.tenant), self._builds.spec(*place)
            reason = (
                f"it takes {wanted} loadables, and of the {most} that {core} holds {there} are"
                " taken: use fewer networks or batch sizes there"
            )
            failure = failed(network, spec, reason).failure
            raise ConfigurationFailed(replace(failure, kind=FailureKind.INVALID))

    def _core(self, accelerator: int) -> str:
        return self._device.accelerators[accelerator].resource

    def _most(self, accelerator: int) -> float:
        most = self._device.accelerators[accelerator].max_loadables
        return math.inf if most is None else most

    def _loaded(self, tenant: int, accelerator: int, batch: int) -> LoadedPlan | None:
        """Return a plan in memory, unless it is of another power mode and the own one is built."""
        key = (tenant, accelerator, batch)
        plan = self.loaded.get(key)
        other = plan is not None and plan.host != self._builds.host.to_dict()
        if not (other and self._builds.built(*key)):
            return plan
        with self._cuda.current():  # lanes that use it keep it alive
            del plan, self.loaded[key]
        return None

    def _of_other_batch(self, tenant: int, accelerator: int, batch: int) -> LoadedPlan | None:
        """Return the engine with a profile for this batch size that is loaded for another one."""
        spec = self._builds.spec(tenant, accelerator, batch)
        for key, plan in list(self.loaded.items()):
            if (
                key[:2] == (tenant, accelerator)
                and spec.profiles
                and plan.spec.built == spec.built
                and self._loaded(*key) is plan
            ):
                return replace(plan, spec=spec, users=0, _lock=threading.Lock())
        return None

    def _layers(self, engine: Any, spec: EngineSpec) -> PlacedLayers | None:
        with contextlib.suppress(ValueError):
            information = engine.create_engine_inspector().get_engine_information(
                self._bindings.trt.LayerInformationFormat.JSON
            )
            return placed_layers(information, spec.on_dla)
        return None

    def _runtime(self, accelerator: int) -> Any:
        used = self._device.accelerators[accelerator]
        core = int(used.resource.removeprefix("dla")) if used.kind is Kind.DLA else None
        if core not in self._runtimes:
            self._runtimes[core] = self._bindings.runtime(core)
        return self._runtimes[core]
