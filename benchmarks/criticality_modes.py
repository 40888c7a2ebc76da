"""Ways to serve a best-effort network beside a critical one on the same cores."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.gate import Gate
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Criticality,
    Tenant,
    Workload,
    local_computer,
)
from envs.telemetry.none import NoSensor

CRITICAL, BEST_EFFORT = "critical", "best_effort"

#: By name: what best effort does while critical requests wait or run.
MODES = {
    "sequential": "both wait in one queue; whoever came first runs",
    "priorities": "both run at once; the threads of best effort have the lowest priority",
    "barrier": "best effort begins an inference only while no critical request is there",
    "ours": "the same between the segments of its network",
}


class _InTurn:
    """Lets engines run one at a time, in the order in which they ask."""

    def __init__(self) -> None:
        self._next, self._served = 0, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and keep it until the block ends."""
        with self._changed:
            own, self._next = self._next, self._next + 1
            self._changed.wait_for(lambda: self._served == own)
        try:
            yield
        finally:
            with self._changed:
                self._served += 1
                self._changed.notify_all()


class _SequentialFactory(OnnxEngineFactory):
    """Engines that take turns."""

    def __init__(self, space: ConfigurationSpace, paths: list[Path], cache: Path) -> None:
        super().__init__(space, paths, cache)
        self._queue = _InTurn()

    def load(self, tenant: int, accelerator: int, threads: int) -> Any:
        """Load an engine that waits for its turn."""
        return _Sequential(super().load(tenant, accelerator, threads), self._queue)


class _Sequential:
    def __init__(self, engine: Any, queue: _InTurn) -> None:
        self._engine, self._queue = engine, queue

    def run(self, inputs: Arrays) -> Arrays:
        with self._queue.turn():
            found: Arrays = self._engine.run(inputs)
            return found

    def close(self) -> None:
        self._engine.close()


class _OpenGate(Gate):
    """Never closes, so that priorities of threads alone decide."""

    def __init__(self) -> None:
        super().__init__(capacity=1 << 30)


class _ConcurrentRuntime(ServingRuntime):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._gates._gates = dict.fromkeys(self._gates._gates, _OpenGate())


def opened(mode: str, paths: list[Path], segments: int, cache: Path) -> ServingRuntime:
    """Return a runtime that serves both networks on all cores.

    Args:
        mode: one of MODES.
        paths: ONNX files of the critical network and of best effort.
        segments: of best effort, for `ours`.
        cache: folder that keeps the segments.
    """
    networks = [read_network(path) for path in paths]
    sequential = mode == "sequential"
    tenants = (
        Tenant(CRITICAL, networks[0]),
        Tenant(
            BEST_EFFORT,
            networks[1],
            criticality=Criticality.CRITICAL if sequential else Criticality.BEST_EFFORT,
        ),
    )
    device = local_computer(("cpu_fp32",))
    if mode == "ours":
        device = device.with_segments((segments,))
    space = ConfigurationSpace(device, Workload(tenants), 1, (1,), max_total_instances=2)
    factory = _SequentialFactory if sequential else OnnxEngineFactory
    kind = _ConcurrentRuntime if mode == "priorities" else ServingRuntime
    runtime = kind(space, factory(space, paths, cache), NoSensor(), ServingOptions(max_wait_ms=0))
    whole, unused = (1, 1), (0, 0)
    rows = ((whole,), (whole,)) if mode != "ours" else ((whole, unused), (unused, whole))
    runtime.apply(Configuration(rows))
    return runtime
