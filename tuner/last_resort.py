"""The last resort: the processor's cores serve when the GPU and the DLAs cannot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from envs.accuracy.judging import Examined
from envs.runtimes.serving.engine import BuildingFactory, Engine, EngineFactory, Step, StreamEngine
from envs.spec import Configuration, ConfigurationSpace, Kind

#: The accelerator of the last resort: ONNX Runtime on the processor's cores.
RESERVE = "cpu_fp32"


class WithProcessor:
    """A factory of engines for a GPU and DLAs, and for the processor beside them.

    Only the former are built; the latter are loaded as they are.
    """

    def __init__(
        self, gpu: BuildingFactory, processor: EngineFactory, space: ConfigurationSpace
    ) -> None:
        self._gpu, self._processor, self._space = gpu, processor, space

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine | StreamEngine:
        """Load an engine; ConfigurationFailed where that is impossible."""
        on_cpu = self._space.device.accelerators[accelerator].kind is Kind.CPU
        owner: EngineFactory = self._processor if on_cpu else self._gpu
        return owner.load(tenant, accelerator, threads)

    def build(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Build one engine, unless it is there."""
        self._gpu.build(tenant, accelerator, batch, step)

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if `build` has nothing to do."""
        return self._gpu.built(tenant, accelerator, batch)

    def borrowed(self, tenant: int, accelerator: int, batch: int) -> str:
        """Return the power mode whose engine serves until the own one is built; empty if none."""
        if self._space.device.accelerators[accelerator].kind is Kind.CPU:
            return ""
        found: str = getattr(self._gpu, "borrowed", lambda *place: "")(tenant, accelerator, batch)
        return found

    def renew(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Build the engine of the present power mode."""
        self._gpu.renew(tenant, accelerator, batch, step)  # type: ignore[attr-defined]

    def keep_borrowed(self, tenant: int, accelerator: int, batch: int, reason: str) -> None:
        """Serve with the engine of another power mode again."""
        self._gpu.keep_borrowed(tenant, accelerator, batch, reason)  # type: ignore[attr-defined]

    def refresh_host(self) -> bool:
        """Read the power mode again; return True if engines of another one are wanted."""
        changed: bool = getattr(self._gpu, "refresh_host", lambda: False)()
        return changed

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return how many loadables of a DLA one engine takes."""
        return self._gpu.blocks(tenant, accelerator)

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how INT8 was calibrated."""
        return self._gpu.calibration(tenant, accelerator)

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the engines of pairs that will not serve."""
        self._gpu.unload(pairs)

    def input_scales(self, tenant: int) -> dict[str, float]:
        """Return the value of one step of each input that is INT8 in some engine of a tenant."""
        found: dict[str, float] = getattr(self._gpu, "input_scales", lambda tenant: {})(tenant)
        return found

    def free_mib(self) -> float:
        """Return the memory that the driver of the GPU could still give; NaN if unknown."""
        told: float = getattr(self._gpu, "free_mib", lambda: float("nan"))()
        return told

    def close(self) -> None:
        """Release everything."""
        self._processor.close()
        self._gpu.close()


def without_reserve(space: ConfigurationSpace, reserve: bool) -> ConfigurationSpace:
    """Return the space in which the processor is no choice, where it is the last resort only."""
    kinds = {each.kind for each in space.device.accelerators}
    if not reserve or Kind.CPU not in kinds or len(kinds) == 1:
        return space
    column = space.device.accelerator_names.index(RESERVE)
    pairs = {(tenant, column) for tenant in range(space.shape[0])}
    return replace(space, unavailable=space.unavailable | pairs)


def reserve_of(space: ConfigurationSpace, examined: Sequence[Examined]) -> Configuration | None:
    """Return one instance of each tenant on the processor; None if it cannot load them."""
    if any(each.unloadable for each in examined):
        return None
    placements = np.zeros((*space.shape, 2), dtype=np.int16)
    column = space.device.accelerator_names.index(RESERVE)
    for tenant, each in enumerate(space.workload.tenants):
        placements[tenant, column] = (1, each.network.fixed_batch or space.batches[0])
    return Configuration.of(placements)
