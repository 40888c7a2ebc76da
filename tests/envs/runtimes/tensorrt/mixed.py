"""A critical network beside one of best effort, in segments: over the stand-ins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from envs.catalog.graph_builder import GraphBuilder
from envs.graph.reading import read_network
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.spec import Network
from tests.envs.runtimes.tensorrt.worlds import MixedWorld

CRITICAL, BEST_EFFORT = 0, 1
TENSOR, DLA0, DLA1, TENSOR_IN_4, DLA0_IN_4, DLA1_IN_4 = range(6)
PLACES = ("tensor", "dla0", "dla1", "tensor_in_4", "dla0_in_4", "dla1_in_4")


class Watched(TensorRTEngineFactory):
    """Keeps the engines by tenant, and what they launch; they finish when the test says so."""

    def load(self, tenant: int, accelerator: int, threads: int) -> Any:
        engine = super().load(tenant, accelerator, threads)
        if not hasattr(self, "launched"):
            self.launched: list[str] = []
            self.go_on = {each: threading.Event() for each in (CRITICAL, BEST_EFFORT)}
            for event in self.go_on.values():
                event.set()
        for name in ("launch", "launch_first", "launch_next"):
            setattr(engine, name, self._noted(f"{tenant} {name}", getattr(engine, name)))
        done = engine.done
        engine.done = lambda: self.go_on[tenant].is_set() and done()  # type: ignore[method-assign]
        return engine

    def _noted(self, what: str, call: Callable[..., None]) -> Callable[..., None]:
        def noted(*given: Any) -> None:
            self.launched.append(what)
            call(*given)

        return noted


class Mixed(MixedWorld):
    """Watches what both launch."""

    kind = Watched


def seven_layers_in(folder: Path) -> tuple[Path, Network]:
    """Make a residual network of seven layers that multiply."""
    graph = GraphBuilder(0)
    x = graph.relu(graph.conv("input", 16, 3, 2, pad=1))
    x = graph.relu(graph.conv(graph.max_pool(x, 3, 2, pad=1), 32, 3, 2, pad=1))
    for _ in range(2):
        y = graph.relu(graph.conv(x, 32, 3, pad=1))
        x = graph.relu(graph.add(graph.conv(y, 32, 3, pad=1), x))
    x = graph.linear(graph.flatten(graph.global_average(x)), 10)
    path = folder / "small.onnx"
    onnx.save(graph.model("small", x, 64), path)
    return path, read_network(path)
