"""A plan in memory, and how many use it."""

import threading
from dataclasses import dataclass, field
from typing import Any

from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.spec import EngineSpec


@dataclass
class LoadedPlan:
    """A deserialised engine that several instances share.

    Attributes:
        engine: an ICudaEngine; its contexts share its weights.
        spec: the specification that it was built for.
        scales: of INT8 inputs and outputs, by name.
        layers: its placed layers; None if the engine does not report them.
        size: bytes of the plan.
        host: the computer and the power mode that it was built for (`BuildHost.to_dict`).
        users: lanes that use it, and whoever is about to make one.
    """

    engine: Any
    spec: EngineSpec
    scales: dict[str, float]
    layers: PlacedLayers | None
    size: int
    host: dict[str, Any]
    users: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def hold(self) -> None:
        """Count one user more; the plan is not unloaded meanwhile."""
        with self._lock:
            self.users += 1

    def release(self) -> None:
        """Count one user less."""
        with self._lock:
            self.users -= 1
