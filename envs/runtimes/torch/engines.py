"""PyTorch engines: one stream, pinned buffers and CUDA graphs each on a GPU; on a processor, which stands in for one in tests, a plain call."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import ConfigurationError
from envs.network import Network
from envs.optional import optional_import
from envs.runtimes.instance import Arrays
from envs.runtimes.torch.graph import TorchGraph

logger = logging.getLogger(__name__)

#: Runs of a size before it is captured: libraries choose their kernels and take their workspaces in the first ones.
WARM_UPS = 3


def switch_tf32_off() -> None:
    """Every switch there is: without this a product of FP32 matrices may run on Tensor Cores, rounded to 10 bits. ConfigurationError where one stays on.

    PyTorch 2.9 brought a second set of switches, where what the old ones leave at "none" follows a common one; so both are set, the new ones last.
    """
    torch = optional_import("torch", "train")
    backends = torch.backends
    torch.set_float32_matmul_precision("highest")
    backends.cuda.matmul.allow_tf32 = False
    backends.cudnn.allow_tf32 = False  # on by default
    new = [backends, backends.cuda.matmul, backends.cudnn, backends.cudnn.conv, backends.cudnn.rnn] if hasattr(backends, "fp32_precision") else []
    for switch in new:
        switch.fp32_precision = "ieee"
    off = not backends.cuda.matmul.allow_tf32 and not backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "highest"
    # NVIDIA's libraries read this variable themselves; 1 turns TF32 on whatever PyTorch says.
    if not off or any(switch.fp32_precision != "ieee" for switch in new) or os.environ.get("NVIDIA_TF32_OVERRIDE") == "1":
        raise ConfigurationError("TF32 stays on (NVIDIA_TF32_OVERRIDE=1?), so that `cuda` would run on Tensor Cores: unset it")


class CpuEngine:
    """The network on the processor: FP32, or bfloat16 under autocast in the place of FP16, which few processors compute with."""

    def __init__(self, graph: TorchGraph, network: Network, half: bool) -> None:
        self._torch = optional_import("torch", "train")
        self._graph = graph
        self._half = half
        self._kinds = [getattr(self._torch, spec.dtype) for spec in network.outputs]

    def run(self, inputs: Arrays) -> Arrays:
        torch = self._torch
        tensors = [torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else np.array(array)) for array in inputs]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            return [output.to(kind).numpy() for output, kind in zip(self._graph(tensors), self._kinds, strict=True)]

    def close(self) -> None:
        """Nothing is held beyond the graph, which other engines share."""


@dataclass(frozen=True)
class Program:
    """What runs batches of one size.

    Attributes:
        inputs: on the device, [size, ...], always the same memory.
        run: enqueues the network on the current stream; returns its outputs on the device.
        answers: pinned, where the outputs are copied to.
        captured: whether it is a CUDA graph.
    """

    inputs: list[Any]
    run: Callable[[], list[Any]]
    answers: list[Any]
    captured: bool


class CudaEngine:
    """A `StreamEngine` on a GPU. A batch that is smaller than any size that has run takes the room of the next larger one.

    Args:
        stream: non-default and its own; given back through `released`.
    """

    def __init__(self, graph: TorchGraph, network: Network, half: bool, stream: Any, released: Callable[[Any], None]) -> None:
        self._torch = torch = optional_import("torch", "train")
        self._graph = graph
        self._network = network
        self._half = half
        self._stream = stream
        self._released = released
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._programs: dict[int, Program] = {}
        self._pinned: list[Any] = []
        self._views: list[npt.NDArray[np.generic]] = []
        self._flying: tuple[Program, int, int] | None = None

    @property
    def captured(self) -> dict[int, bool]:
        """By size of batch: whether a CUDA graph runs it, or the kernels are launched one by one."""
        return {size: program.captured for size, program in self._programs.items()}

    def buffers(self, batch: int) -> Arrays:
        if not self._views or len(self._views[0]) < batch:
            self._pinned = [self._empty(batch, spec, pin_memory=True).zero_() for spec in self._network.inputs]
            self._views = [tensor.numpy() for tensor in self._pinned]
        if batch not in self._programs:
            self._programs[batch] = self._program(batch)
        return self._views

    def keep(self, batch: int) -> None:
        """Lets go of other sizes. What their graphs held stays with PyTorch until it runs short of memory, and is anybody's then."""
        self._flying = None  # its program may be one of those
        self._programs = {size: program for size, program in self._programs.items() if size == batch}

    def launch(self, inputs: Arrays) -> None:
        torch, count = self._torch, len(inputs[0])
        size = min(size for size in self._programs if size >= count)
        program = self._programs[size]
        for view, array in zip(self._views, inputs, strict=True):
            if array.ctypes.data != view.ctypes.data:
                view[:count] = array
        with torch.cuda.stream(self._stream), torch.inference_mode():
            self._began.record(self._stream)
            for tensor, pinned in zip(program.inputs, self._pinned, strict=True):
                tensor[:count].copy_(pinned[:count], non_blocking=True)
            for answer, output in zip(program.answers, program.run(), strict=True):
                answer.copy_(output, non_blocking=True)
            self._ended.record(self._stream)
        self._flying = program, size, count

    def done(self) -> bool:
        finished: bool = self._ended.query()
        return finished

    def result(self) -> Arrays:
        self._ended.synchronize()
        assert self._flying is not None, "result without a launch"
        program, size, count = self._flying
        rows = [answer[:count] if answer.dim() and len(answer) == size else answer for answer in program.answers]
        return [row.numpy().copy() for row in rows]

    def elapsed_ms(self) -> float:
        elapsed: float = self._began.elapsed_time(self._ended)
        return elapsed

    def close(self) -> None:
        if self._stream is not None:
            self._programs.clear()
            self._flying = None
            self._released(self._stream)
            self._stream = None

    def _empty(self, batch: int, spec: Any, **where: Any) -> Any:
        return self._torch.empty((batch, *spec.shape), dtype=getattr(self._torch, spec.dtype), **where)

    def _program(self, batch: int) -> Program:
        """Tries the network on batches of this size, then captures it; OutOfMemoryError where there is no room."""
        torch = self._torch
        with torch.cuda.stream(self._stream), torch.inference_mode():
            inputs = [self._empty(batch, spec, device="cuda").zero_() for spec in self._network.inputs]
            for _ in range(WARM_UPS):
                outputs = self._forward(inputs)
            self._stream.synchronize()
            answers = [torch.empty(output.shape, dtype=output.dtype, pin_memory=True) for output in outputs]
            del outputs
            captured = self._capture(inputs)
        if captured is None:
            return Program(inputs, lambda: self._forward(inputs), answers, False)
        replay, results = captured

        def run() -> list[Any]:
            replay()
            return results

        return Program(inputs, run, answers, True)

    def _forward(self, inputs: Sequence[Any]) -> list[Any]:
        torch = self._torch
        with torch.autocast("cuda", torch.float16, enabled=self._half):
            outputs = self._graph(inputs)
        return [output.to(getattr(torch, spec.dtype)) for output, spec in zip(outputs, self._network.outputs, strict=True)]

    def _capture(self, inputs: Sequence[Any]) -> tuple[Callable[[], None], list[Any]] | None:
        """A CUDA graph of the network, as its replay and its outputs; None where it cannot be captured, which is logged.

        `torch.cuda.graph` is not used because it waits for the whole device and empties the cache: it would stall what is serving.
        """
        torch = self._torch
        graph = torch.cuda.CUDAGraph()
        problem: RuntimeError | None = None
        results: list[Any] = []
        # Thread-local: what other threads do to other streams meanwhile is theirs. No pool is shared with other sizes: PyTorch lets go of one
        # only with its last graph.
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            results = self._forward(inputs)
        except RuntimeError as error:
            problem = error
        try:
            graph.capture_end()
        except RuntimeError as error:
            problem = problem or error
        if isinstance(problem, torch.OutOfMemoryError):
            raise problem
        if problem is not None:
            logger.warning("%s runs without a CUDA graph, which could not be captured: %s", self._network.name, str(problem).splitlines()[0])
            return None
        return graph.replay, results
