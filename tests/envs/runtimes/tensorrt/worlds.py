"""A factory over the stand-ins for TensorRT and the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import (
    Accelerator,
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    DeviceSpec,
    Network,
    accelerator,
    workload_of,
)
from envs.testing.engines import build_every
from tests.standins.tensorrt import stand_ins
from tests.worlds import critical_and_best_effort

CUDA, TENSOR, DLA0, DLA1 = range(4)


def at(name: str, precision: str | None = None) -> Accelerator:
    """Return an accelerator at a precision, its own if none is given."""
    found = accelerator(name)
    widths = {"fp32": 4, "fp16": 2, "int8": 1}
    return replace(found, weight_bytes=widths[precision or found.precision])


class World:
    """A factory over stand-ins, and the networks that it serves."""

    def __init__(
        self,
        small: tuple[Path, Network],
        cache: Path,
        version: str = "10.3.0",
        batches: tuple[int, ...] = (1, 4),
        accelerators: tuple[str, ...] = ("cuda", "tensor", "dla0", "dla1"),
        precisions: Mapping[str, str] | None = None,
        samples: Samples | None = None,
        **options: Any,
    ) -> None:
        self.path, self.network = small
        self.samples = samples
        with stand_ins(version) as modules:
            self.module, self.driver, self.cuda = modules.tensorrt, modules.driver, Cuda()
        used = tuple(at(name, (precisions or {}).get(name)) for name in accelerators)
        device = DeviceSpec("Orin", used, 8, 30_000.0)
        self.space = ConfigurationSpace(device, workload_of([self.network]), 2, batches)
        self.cache = cache
        self.options = BuildOptions(samples=1, **options)
        self.factory = self.again()

    def again(self) -> TensorRTEngineFactory:
        """Return another factory on the same cache."""
        return TensorRTEngineFactory(
            self.space,
            [self.path],
            self.cache,
            self.options,
            Bindings(self.module),
            self.cuda,
            samples=[self.samples],
        )

    @property
    def builds(self) -> int:
        return len(self.module.world.configs)

    def build_every(self) -> dict[tuple[int, int], ConfigurationFailed]:
        return build_every(self.factory, self.space)

    def engine(self, accelerator: int, *batches: int) -> TensorRTEngine:
        engine = self.factory.load(0, accelerator, 1)
        for batch in batches:
            engine.buffers(batch)
        return engine


class MixedWorld(World):
    """A critical network, and the same one as best effort.

    Attributes:
        kind: of the factory.
    """

    kind = TensorRTEngineFactory

    def again(self) -> TensorRTEngineFactory:
        workload = critical_and_best_effort(self.network, self.network, 50.0)
        self.space = replace(self.space, workload=workload)
        return self.kind(
            self.space,
            [self.path, self.path],
            self.cache,
            self.options,
            Bindings(self.module),
            self.cuda,
            samples=[None, None],
        )


def served(engine: TensorRTEngine, images: Any) -> Any:
    engine.launch([images])
    assert engine.done()
    (logits,) = engine.result()
    return logits


def configuration(space: ConfigurationSpace, *pairs: tuple[int, int]) -> Configuration:
    """Return (instances, batch) of the first accelerators, the others unused."""
    return Configuration(((*pairs, *[(0, 0)] * (space.shape[1] - len(pairs))),))
