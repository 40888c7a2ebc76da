"""One factory of engines for a GPU with its DLAs and for the processor's cores beside them."""

from __future__ import annotations

from collections.abc import Collection

from envs.runtimes.serving.engine import BuildingFactory, Engine, Step, StreamEngine
from envs.spec import ConfigurationSpace, Kind


class EnginesByKind:
    """Asks the factory that an accelerator belongs to.

    Args:
        gpu: makes engines of TensorRT.
        processor: makes sessions of ONNX Runtime.
        space: says which accelerators are cores of the processor.
    """

    def __init__(
        self, gpu: BuildingFactory, processor: BuildingFactory, space: ConfigurationSpace
    ) -> None:
        self._gpu, self._processor = gpu, processor
        self._on_cpu = [each.kind is Kind.CPU for each in space.device.accelerators]

    def _owner(self, accelerator: int) -> BuildingFactory:
        return self._processor if self._on_cpu[accelerator] else self._gpu

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine | StreamEngine:
        """Load an engine; ConfigurationFailed where that is impossible."""
        return self._owner(accelerator).load(tenant, accelerator, threads)

    def build(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Build one engine, or quantise one graph, unless it is there."""
        self._owner(accelerator).build(tenant, accelerator, batch, step)

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if `build` has nothing to do."""
        return self._owner(accelerator).built(tenant, accelerator, batch)

    def borrowed(self, tenant: int, accelerator: int, batch: int) -> str:
        """Return the power mode whose engine serves until the own one is built; empty if none."""
        if self._on_cpu[accelerator]:
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
        return self._owner(accelerator).blocks(tenant, accelerator)

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how INT8 was calibrated."""
        return self._owner(accelerator).calibration(tenant, accelerator)

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the engines of pairs that will not serve."""
        for owner in (self._gpu, self._processor):
            owner.unload([pair for pair in pairs if self._owner(pair[1]) is owner])

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
