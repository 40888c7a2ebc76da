"""The live runtime on PyTorch: `cuda` is FP32 with TF32 off, `tensor` FP16 under autocast, wherever PyTorch sees a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.configuration import ConfigurationSpace
from envs.device import STAND_IN
from envs.errors import ConfigurationError
from envs.measurement import ConfigurationFailed, Failure, FailureKind
from envs.optional import optional_import
from envs.runtimes.instance import StreamEngine, failure_of
from envs.runtimes.measuring import ServingOptions
from envs.runtimes.serving import ServingRuntime
from envs.runtimes.streams import POLL_S
from envs.runtimes.torch.engines import CpuEngine, CudaEngine, switch_tf32_off
from envs.runtimes.torch.graph import read_torch_graph
from envs.runtimes.worker import WorkerEngine
from envs.telemetry.protocol import Sensor

#: PyTorch has so many streams of a priority and deals them out in turn; two instances on one would take turns as well.
STREAMS = 32


class TorchEngineFactory:
    """Loads engines that share the weights of their tenant's network, which stay on the device until `close`.

    Args:
        paths: [T] ONNX files, in the order of the tenants.

    Raises:
        ConfigurationError: the space names other accelerators, or a GPU that PyTorch does not see.
        NetworkError: a network that PyTorch cannot run, with what is in the way.
        ConfigurationFailed: the weights do not fit into the GPU.
    """

    def __init__(self, space: ConfigurationSpace, paths: Sequence[Path]) -> None:
        self._torch = torch = optional_import("torch", "train")
        networks = [tenant.network for tenant in space.workload.tenants]
        if len(paths) != len(networks):
            raise ConfigurationError(f"{len(paths)} ONNX files for {len(networks)} tenants")
        wrong = [name for name in space.device.accelerator_names if name not in ("cuda", "tensor")]
        if wrong:
            raise ConfigurationError(f"PyTorch does not run on {wrong[0]!r}: describe the device with cuda and tensor")
        self._on_gpu = not space.device.name.startswith(STAND_IN)
        if self._on_gpu and not torch.cuda.is_available():
            raise ConfigurationError(f"PyTorch sees no GPU here, the space is one of {space.device.name}: run it there")
        switch_tf32_off()
        self._half = [name == "tensor" for name in space.device.accelerator_names]
        self._networks = networks
        self._taken: set[int] = set()
        self._graphs = [read_torch_graph(Path(path), network) for path, network in zip(paths, networks, strict=True)]
        if self._on_gpu:
            try:
                self._graphs = [graph.to("cuda") for graph in self._graphs]
            except RuntimeError as error:
                raise ConfigurationFailed(failure_of(error, f"the weights cannot be put on {space.device.name}")) from error

    def load(self, tenant: int, accelerator: int, threads: int) -> StreamEngine:
        switch_tf32_off()  # anybody in this process may have switched it on
        graph, network, half = self._graphs[tenant], self._networks[tenant], self._half[accelerator]
        if not self._on_gpu:
            return WorkerEngine(CpuEngine(graph, network, half))
        try:
            return CudaEngine(graph, network, half, self._stream(), self._give_back)
        except RuntimeError as error:
            raise ConfigurationFailed(failure_of(error, f"PyTorch cannot load {network.name}")) from error

    def close(self) -> None:
        self._graphs = []

    def _stream(self) -> Any:
        """A stream that no live engine has."""
        for _ in range(STREAMS):
            stream = self._torch.cuda.Stream()
            if stream.cuda_stream not in self._taken:
                self._taken.add(stream.cuda_stream)
                return stream
        raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, f"PyTorch has no more than {STREAMS} streams: lower space.max_total_instances"))

    def _give_back(self, stream: Any) -> None:
        self._taken.discard(stream.cuda_stream)


def torch_runtime(space: ConfigurationSpace, paths: Sequence[Path], options: ServingOptions, sensor: Sensor, poll_s: float = POLL_S) -> ServingRuntime:
    """Serves the networks in `paths` on the device that `envs.device.local_gpu` describes; errors are those of `TorchEngineFactory`."""
    return ServingRuntime(space, TorchEngineFactory(space, paths), sensor, options, poll_s)
