"""Builds of a workload's engines: each once, kept on disk, one at a time."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.errors import NetworkError
from envs.runtimes.tensorrt.build import Built, build, failed
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.calibrations import Calibrations
from envs.runtimes.tensorrt.checks import check_file
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.failures import BuildFailures
from envs.runtimes.tensorrt.host import describe_host
from envs.runtimes.tensorrt.loadables import Loadables
from envs.runtimes.tensorrt.markers import marked
from envs.runtimes.tensorrt.progress import BuildProgress, BuildWatch, Step, TookTooLong
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity, spec_of
from envs.runtimes.tensorrt.times import BuildTimes
from envs.runtimes.tensorrt.versions import Bindings
from envs.runtimes.tensorrt.worker import TICK_S, BuildWorker
from envs.spec import ConfigurationFailed, ConfigurationSpace, Network, Place

logger = logging.getLogger(__name__)


class EngineBuilds:
    """Makes engines exist on disk, by (tenant, accelerator, batch).

    Thread-safe: one engine is built at a time, and nobody waits for the build of another one.

    Attributes:
        cache: plans on disk.
        host: the computer that they are built for.
        step: is called every few seconds during a build, in the thread that waits for it.
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
        self._failures = BuildFailures(cache)
        #: Why a DLA's own formats cannot be used, by (tenant, accelerator).
        self._linear: dict[tuple[int, int], str] = {}
        #: Pairs (tenant, accelerator) of which no engine for all batch sizes can be built: the
        #: largest may need more memory than there is.
        self._apart: set[tuple[int, int]] = set()
        self._worker, self._times = BuildWorker(), BuildTimes(cache)
        self._loadables = Loadables(cache)
        self._lock = threading.Lock()
        self.host = self._describe_host()
        self.step: Step = lambda progress: None

    def network(self, tenant: int) -> Network:
        """Return a tenant's network."""
        return self._space.workload.tenants[tenant].network

    def spec(self, tenant: int, accelerator: int, batch: int) -> EngineSpec:
        """Return the specification of the engine for this batch size."""
        network, used = self.network(tenant), self._space.device.accelerators[accelerator]
        static = network.fixed_batch is not None or not self._bindings.shares_profiles
        apart = (tenant, accelerator) in self._apart
        batches = () if apart else self._space.batches_of(tenant, accelerator)
        parts = self._space.device.parts(used)
        spec = spec_of(used, network, batch, self._options, static, batches, parts)
        if (tenant, accelerator) in self._linear:
            spec = replace(spec, native_io=False)
        return spec

    def refuse_native(self, tenant: int, accelerator: int, reason: str) -> None:
        """Build without the DLA's own formats from now on, since they cannot be filled here."""
        self._linear[tenant, accelerator] = reason

    def remarks(self) -> list[str]:
        """Return where a DLA's own formats were wanted but cannot be used."""
        names, accelerators = self._space.workload.names, self._space.device.accelerator_names
        return [
            f"{names[tenant]} on {accelerators[accelerator]} has linear inputs and outputs: "
            f"{reason}"
            for (tenant, accelerator), reason in list(self._linear.items())
        ]

    def identity(self, tenant: int, accelerator: int, batch: int) -> dict[str, Any]:
        """Return everything that the engine for this batch size depends on, ready for JSON."""
        spec = self.spec(tenant, accelerator, batch)
        calibration = self._calibrations.identity(tenant, spec.on_dla) if spec.calibrated else None
        sha256 = self.network(tenant).sha256
        return identity(sha256, spec, self.host, self._options, calibration)

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if the engine is there, as far as its size tells."""
        return self.cache.has(self.identity(tenant, accelerator, batch))

    def usable(self, tenant: int, accelerator: int, batch: int) -> dict[str, Any] | None:
        """Return the identity of the engine, or of one that serves until it is built, or None.

        That one was built in another power mode, with as many multiprocessors.
        """
        wanted = self.identity(tenant, accelerator, batch)
        return wanted if self.cache.has(wanted) else self.cache.similar(wanted)

    def refresh_host(self) -> bool:
        """Read the power mode and the multiprocessors again; return True if they have changed."""
        before, self.host = self.host, self._describe_host()
        return self.host != before

    def make(
        self, tenant: int, accelerator: int, batch: int, may_split: bool = True
    ) -> dict[str, Any]:
        """Build an engine unless it is there; return the identity of what is there then.

        If an engine for all batch sizes cannot be built, each size gets one of its own, unless
        `may_split` is False: one of another power mode for all sizes serves meanwhile.

        If the power mode changes during the build, kernels are chosen at the clocks of both modes.
        Then the engine counts as one of a third mode, and only where there is no other.

        Raises:
            ConfigurationFailed: it cannot be built; a build that was refused is not tried again.
        """
        place = Place(tenant, accelerator, batch)
        try:
            return self._make(place)
        except ConfigurationFailed as error:
            # A file that nobody can compute at any size is not tried once more for each.
            whole = may_split and self.spec(*place).profiles and not self._worker.left
            if not whole or isinstance(error.__cause__, NetworkError):
                raise
            logger.warning("%s; each batch size gets an engine of its own", error.failure.reason)
        self._apart.add((tenant, accelerator))
        return self._make(place)

    def read(
        self, tenant: int, accelerator: int, batch: int
    ) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
        """Return a plan, its notes and its identity; a damaged one is built again.

        It is the plan of another power mode as long as there is no other.

        Raises:
            ConfigurationFailed: it cannot be built, or not be read again.
        """
        for _ in range(3):
            found = self.usable(tenant, accelerator, batch)
            if found is None:
                found = self.make(tenant, accelerator, batch)
            if (kept := self.cache.load(found)) is not None:
                return (*kept, found)
        reason = "its file is damaged whenever it is read: check the disk"
        raise failed(self.network(tenant), self.spec(tenant, accelerator, batch), reason)

    def give_up(self, identity: dict[str, Any], reason: str) -> None:
        """Remove a plan, and do not build it any more in this process."""
        self.cache.discard(identity)
        self._failures.keep_here(identity, reason)

    def loadables(self, place: Place) -> int:
        """Return how many loadables of a DLA an engine takes; 1 where it was never loaded."""
        return self._loadables.count(
            self.network(place.tenant).sha256, self.spec(*place), self.host
        )

    def keep_loadables(self, place: Place, count: int) -> None:
        """Remember how many loadables of a DLA an engine takes."""
        sha256 = self.network(place.tenant).sha256
        self._loadables.keep(sha256, self.spec(*place), self.host, count)

    def most_loadables(self, tenant: int, accelerator: int) -> int:
        """Return how many loadables the largest engine of a pair takes; 1 where none is known."""
        sizes = self._space.batches_of(tenant, accelerator)
        counts = [self.loadables(Place(tenant, accelerator, batch)) for batch in sizes]
        return max(counts, default=1) or 1

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how an INT8 engine was calibrated: the method, and the number of samples."""
        spec = self.spec(tenant, accelerator, 1)
        if not spec.calibrated:
            return "", 0
        found = self._calibrations.of(tenant, spec.on_dla)
        return found.method, found.samples

    def _make(self, place: Place) -> dict[str, Any]:
        wanted = self.identity(*place)
        if not self.cache.has(wanted):
            with self._alone(place), self.at(place):
                if not self.cache.has(wanted):  # another thread may have built it meanwhile
                    return self._build(place, wanted)
        return wanted

    @contextlib.contextmanager
    def _alone(self, place: Place) -> Iterator[None]:
        """Wait until nothing else is built."""
        while not self._lock.acquire(timeout=TICK_S):
            self.step(BuildProgress(self.describe(place), "waits for another build"))
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Let failures in the block name their place; they name the kind of accelerator already."""
        try:
            yield
        except ConfigurationFailed as error:
            label = self.spec(*place).label
            name = self._space.device.accelerators[place.accelerator].name
            reason = error.failure.reason.replace(f" for {label} at ", f" for {name} at ", 1)
            failure = replace(error.failure, reason=reason, place=place)
            raise ConfigurationFailed(failure) from error.__cause__

    def describe(self, place: Place) -> str:
        """Return an engine as text: `resnet50 on dla0, int8, batch 4`."""
        name = self._space.device.accelerators[place.accelerator].name
        spec = self.spec(*place)
        return f"{self.network(place.tenant).name} on {name}, {spec.precision}, {spec.batches}"

    def _build(self, place: Place, wanted: dict[str, Any]) -> dict[str, Any]:
        """Build and keep an engine, and return its identity, or remember why that failed."""
        network, spec = self.network(place.tenant), self.spec(*place)
        if reason := self._failures.why(wanted, self._worker.left):
            raise failed(network, spec, reason)
        try:
            check_file(self._paths[place.tenant], network, spec, self._bindings)
        except NetworkError as error:  # not remembered: the file may be restored
            raise failed(network, spec, str(error)) from error
        began_s, host = time.monotonic(), self._describe_host()
        try:
            with marked(self.cache, wanted):
                built = self._run_builder(place, spec, host)
        except TookTooLong as error:  # only this process remembers it: the next one has other work
            self._failures.keep_here(wanted, str(error))
            raise failed(network, spec, str(error)) from error
        except NetworkError as error:
            self._failures.keep(wanted, error, str(error))
            raise failed(network, spec, str(error)) from error
        except ConfigurationFailed as error:
            self._failures.keep(wanted, error, error.failure.reason.split(": ", 1)[-1])
            raise
        self._times.keep(network.sha256, spec, time.monotonic() - began_s)
        after = self._describe_host()
        if after != host and (other := self.usable(*place)) is not None:
            return other
        if after == host and built.timings:
            self.cache.keep_timings(host, built.timings)
        kept = wanted | {"host": host.followed_by(after).to_dict()}
        self.cache.keep(kept, built.plan, built.notes)
        return kept

    def _run_builder(self, place: Place, spec: EngineSpec, host: BuildHost) -> Built:
        network = self.network(place.tenant)
        what, ranges = self.describe(place), None
        self.step(BuildProgress(what, "INT8 ranges" if spec.calibrated else ""))
        if spec.calibrated:
            ranges = self._calibrations.of(place.tenant, spec.on_dla)
        usual_s = self._times.usual_s(network.sha256, spec)
        watch = BuildWatch(what, self._options.limit_s, usual_s)

        def work() -> Built:
            with self._cuda.current():
                return build(
                    self._bindings,
                    self._paths[place.tenant],
                    network,
                    spec,
                    self._options,
                    ranges,
                    self.cache.timings(host),
                    watch,
                )

        return self._worker.run(work, watch, self.step, self._bindings.has_monitor)

    def _describe_host(self) -> BuildHost:
        with self._cuda.current():
            return describe_host(self._bindings.version, self._cuda.facts())
