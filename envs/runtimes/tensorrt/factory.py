"""Engines of TensorRT: their plans are shared by the instances that run them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.errors import ConfigurationError
from envs.runtimes.tensorrt.build import failed
from envs.runtimes.tensorrt.builds import EngineBuilds
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.cuda import Cuda, capture_refusal
from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.instance_streams import InstanceStreams
from envs.runtimes.tensorrt.lane import Lane
from envs.runtimes.tensorrt.layout import LayoutError
from envs.runtimes.tensorrt.markers import remove_own_marks
from envs.runtimes.tensorrt.plans import EnginePlans
from envs.runtimes.tensorrt.progress import Step
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.runtimes.tensorrt.staged_lane import StagedLane
from envs.runtimes.tensorrt.staged_pairs import StagedByPair
from envs.runtimes.tensorrt.versions import Bindings, load_bindings
from envs.spec import ConfigurationFailed, ConfigurationSpace, Place

#: What becomes of best effort where streams have no priority.
WITHOUT = "best effort gives way to critical requests on the host alone"


class TensorRTEngineFactory:
    """Loads engines of the workload's networks.

    Args:
        space: the workload, the accelerators and the batch sizes.
        paths: [T] ONNX files, in the order of the tenants.
        cache: folder that keeps engines from one run to the next.
        options: how engines are built.
        bindings: TensorRT; that of this computer if not given.
        cuda: the GPU; the first one if not given.
        graphs: whether GPU engines run as CUDA graphs where they can; DLA engines cannot
            (NVIDIA/TensorRT issue 3524).
        samples: [T], to calibrate INT8 on; None, for a tenant or at all, for invented ones.

    Attributes:
        builds: makes engines exist on disk.
        plans: of the engines, in memory.
        graphs_refused: why there are no CUDA graphs here; empty if there are, or none are wanted.
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
        samples: Sequence[Samples | None] | None = None,
    ) -> None:
        if len(paths) != len(space.workload.tenants):
            raise ConfigurationError(
                f"{len(paths)} ONNX files for {len(space.workload.tenants)} tenants"
            )
        self._space = space
        self._cuda = cuda or Cuda()
        self._bindings = bindings or load_bindings()
        self.graphs_refused = capture_refusal(self._cuda) if graphs else ""
        self._graphs = graphs and not self.graphs_refused
        self.builds = EngineBuilds(
            space,
            [Path(path) for path in paths],
            EngineCache(cache),
            options or BuildOptions(),
            self._bindings,
            self._cuda,
            samples,
        )
        self.plans = EnginePlans(self.builds, space.device, self._bindings, self._cuda)
        self._staged = StagedByPair(
            space,
            [Path(path) for path in paths],
            cache,
            options or BuildOptions(),
            samples or [None] * len(paths),
            partial(
                TensorRTEngineFactory,
                bindings=self._bindings,
                cuda=self._cuda,
                graphs=self._graphs,
            ),
        )
        self._streams = InstanceStreams(self._cuda, space.workload.best_effort)
        self._engines: list[tuple[int, int, TensorRTEngine]] = []
        #: By tenant, of INT8 inputs and outputs by name; all its engines share one calibration.
        self._scales: dict[int, dict[str, float]] = {}

    def build(
        self,
        tenant: int,
        accelerator: int,
        batch: int,
        step: Step | None = None,
    ) -> None:
        """Ensure that `load` finds an engine: build one unless there is one, even of another mode.

        Args:
            tenant: to serve.
            accelerator: where.
            batch: the largest that it will run.
            step: is called while the engine is built, and from then on during every build.

        Raises:
            ConfigurationFailed: it cannot be built.
        """
        if (staged := self._staged.of(tenant, accelerator)) is not None:
            staged.build(batch, step)
        elif self.builds.usable(tenant, accelerator, batch) is None:
            self.builds.step = step or self.builds.step
            self.builds.make(tenant, accelerator, batch)

    def renew(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Build the engine of this power mode, also where one of another mode serves.

        Instances that are made from then on use it.

        Raises:
            ConfigurationFailed: it cannot be built, or the power mode changed meanwhile.
        """
        if (staged := self._staged.of(tenant, accelerator)) is not None:
            staged.renew(batch, step)
            return
        self.builds.step = step or self.builds.step
        made = self.builds.make(tenant, accelerator, batch, may_split=False)
        if made["host"] != self.builds.host.to_dict():
            spec = self.builds.spec(tenant, accelerator, batch)
            reason = "the power mode changed while it was built"
            raise failed(self.builds.network(tenant), spec, reason)

    def keep_borrowed(self, tenant: int, accelerator: int, batch: int, reason: str) -> None:
        """Serve with the engine of another power mode again: the one of `renew` does not work.

        It is removed, and this process does not build it any more.
        """
        if (staged := self._staged.of(tenant, accelerator)) is not None:
            staged.keep_borrowed(batch, reason)
            return
        self.plans.keep_borrowed(Place(tenant, accelerator, batch), reason)

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if `build` has nothing to do."""
        try:
            staged = self._staged.of(tenant, accelerator)
        except ConfigurationFailed:  # `build` says why
            return False
        if staged is not None:
            return staged.built(batch)
        return self.builds.usable(tenant, accelerator, batch) is not None

    def borrowed(self, tenant: int, accelerator: int, batch: int) -> str:
        """Return the power mode whose engine serves until `renew` has built the own one.

        It has the same multiprocessors, so that it runs; its kernels were chosen at other clocks.
        Empty if nothing has to be renewed.
        """
        if (staged := self._staged.of(tenant, accelerator)) is not None:
            return staged.borrowed(batch)
        return self.plans.borrowed(tenant, accelerator, batch)

    def refresh_host(self) -> bool:
        """Read the power mode again; return True if engines of another one are wanted from now on.

        What is loaded goes on serving, and counts as borrowed.
        """
        return self.builds.refresh_host()

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return how many loadables of a DLA one engine takes; 1 where that is not known."""
        of_parts = self._staged.blocks(tenant, accelerator)
        return self.plans.blocks(tenant, accelerator) if of_parts is None else of_parts

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how an INT8 engine was calibrated: the method, and the number of samples."""
        if (staged := self._staged.of(tenant, accelerator)) is not None:
            return staged.calibration()
        return self.builds.calibration(tenant, accelerator)

    def load(self, tenant: int, accelerator: int, threads: int) -> TensorRTEngine:
        """Return an engine whose contexts are made when it learns its batch sizes.

        `threads` is ignored: a GPU needs none.
        """
        network, spec = self.builds.network(tenant), self.builds.spec(tenant, accelerator, 1)
        graphs = self._graphs and not spec.on_dla
        staged = self._staged.of(tenant, accelerator)

        def lane_on(batch: int, stream: Any) -> Lane:
            with self.plans.in_use(tenant, accelerator, batch) as plan:
                places = 2 if spec.native_io else 1
                lane = Lane(self._bindings, self._cuda, plan, network, stream, graphs, places)
                self._scales.setdefault(tenant, {}).update(plan.scales)
                return lane

        def lane_of(batch: int, stream: Any) -> Lane | StagedLane:
            if staged is not None:
                return staged.lane(batch, stream, self._graphs)
            try:
                return lane_on(batch, stream)
            except LayoutError as error:
                wanted = self.builds.spec(tenant, accelerator, batch)
                if not wanted.native_io:
                    raise failed(network, wanted, str(error)) from error
                self.builds.refuse_native(tenant, accelerator, str(error))
                self.plans.forget(tenant, accelerator, batch)
                return lane_on(batch, stream)

        engine = TensorRTEngine(
            self._cuda,
            network,
            lane_of,
            self.plans.unload_unused,
            lambda: self._forget(engine),
            partial(self._streams.of, tenant),
            spec.native_io and staged is None,
            self._space.device.accelerators[accelerator].name,
        )
        self._engines.append((tenant, accelerator, engine))
        return engine

    def part_lane(
        self,
        part: int,
        accelerator: int,
        batch: int,
        stream: Any,
        graphs: bool,
        held: Mapping[str, Any],
        inner: Collection[str],
    ) -> Lane:
        """Return the lane of a part of a network; see `Lane` for what it holds."""
        graphs = graphs and not self.builds.spec(part, accelerator, batch).on_dla
        with self.plans.in_use(part, accelerator, batch) as plan:
            network = self.builds.network(part)
            return Lane(self._bindings, self._cuda, plan, network, stream, graphs, 1, held, inner)

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the plans of pairs (tenant, accelerator) that will not serve."""
        self.plans.unload(pairs)
        self._staged.unload(pairs)

    def placements(self) -> list[tuple[str, str, dict[int, PlacedLayers]]]:
        """List every loaded instance: tenant, accelerator, and its layers by batch size.

        An instance on a DLA that also computes on the GPU has `fell_back` set; TensorRT does not
        report that.
        """
        names, accelerators = self._space.workload.names, self._space.device.accelerator_names
        return [
            (names[tenant], accelerators[accelerator], engine.layers)
            for tenant, accelerator, engine in self._engines
        ]

    def input_scales(self, tenant: int) -> dict[str, float]:
        """Return the value of one step of each input that is INT8 in some engine of a tenant."""
        known = self._scales.get(tenant, {})
        inputs = [spec.name for spec in self.builds.network(tenant).inputs]
        return {name: known[name] for name in inputs if name in known}

    def remarks(self) -> list[str]:
        """Return what the user should know of how the loaded instances run, each once."""
        found = [remark for _, _, engine in list(self._engines) for remark in engine.remarks()]
        on_dla = [self.builds.spec(*engine[:2], 1).on_dla for engine in list(self._engines)]
        if self.graphs_refused and not all(on_dla):
            found.insert(0, f"no CUDA graphs: {self.graphs_refused}")
        if self._streams.refused and not all(on_dla):
            found.insert(0, f"no priorities of streams: {self._streams.refused}; {WITHOUT}")
        return list(dict.fromkeys([*self.builds.remarks(), *found]))

    def free_mib(self) -> float:
        """Return the memory that the driver could still give; NaN where it does not tell."""
        return self.plans.free_mib()

    def close(self) -> None:
        """Unload every plan; the engines have been closed before.

        A build that is under way is left to itself, and counts for nothing if its process ends.
        """
        self._staged.close()
        remove_own_marks(self.builds.cache)
        self.plans.close()

    def _forget(self, engine: TensorRTEngine) -> None:
        self._engines = [each for each in self._engines if each[2] is not engine]
