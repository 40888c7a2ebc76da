"""A lane: an execution context of a plan with its own buffers, on its instance's stream."""

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.runtimes.serving.engine import Arrays
from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.layout import DLA_LINEAR, Layout
from envs.runtimes.tensorrt.spec import EngineSpec
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Network, TensorSpec


@dataclass
class LoadedPlan:
    """A deserialised engine that several instances share.

    Attributes:
        engine: an ICudaEngine; its contexts share its weights.
        spec: the specification that it was built for.
        scales: of INT8 inputs and outputs, by name.
        layers: its placed layers; None if the engine does not report them.
        size: bytes of the plan.
        users: lanes that use it, and whoever is about to make one.
    """

    engine: Any
    spec: EngineSpec
    scales: dict[str, float]
    layers: PlacedLayers | None
    size: int
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


class Lane:
    """Runs batches of up to `plan.spec.batch`, one at a time, on one stream.

    With CUDA graphs a full batch is one launch, copies included. A graph is bound to the shapes and
    the state of the context that it was captured from (TensorRT developer guide, "CUDA Graphs"), so
    that smaller batches run on a second context with the same memory.

    Attributes:
        inputs: pinned memory [batch, ...] of each input, in its layout.
        gathering: arrays [batch, ...] of each input in the network's own layout, in which batches
            are put together; the same memory as `inputs` where the layouts agree.
    """

    def __init__(
        self,
        bindings: Bindings,
        cuda: Cuda,
        plan: LoadedPlan,
        network: Network,
        stream: Any,
        graphs: bool,
    ) -> None:
        self._bindings, self._cuda, self._network = bindings, cuda, network
        self._plan, self._stream = plan, stream
        self._released: list[Any] = []
        self._graph: CapturedGraph | None = None
        self._closed = False
        plan.hold()
        bindings.lines.clear()
        try:
            self._batch = network.fixed_batch or plan.spec.batch
            self._layouts_in = [self._layout(each) for each in network.inputs]
            self._layouts_out = [self._layout(each) for each in network.outputs]
            self.inputs = [self._pinned(layout) for layout in self._layouts_in]
            self.gathering = self._gathering()
            self._outputs = [self._pinned(layout) for layout in self._layouts_out]
            self._device = {
                layout.name: self._memory(layout.size)
                for layout in (*self._layouts_in, *self._layouts_out)
            }
            size = bindings.scratch_bytes(plan.engine, plan.spec.profile)
            self._scratch = self._memory(size), size
            self._context = self._new_context()
            self._sample = self._context  # runs smaller batches
            self._set_batch(self._context, self._batch)
            self._check_strides()
            # The first launch loads the kernels, which must not happen during a capture.
            self._enqueue(self._context, self._batch)
            stream.synchronize()
            if graphs:
                self._capture()
        except BaseException:
            self.close()
            raise

    @property
    def layers(self) -> PlacedLayers | None:
        """The placed layers; None if the engine does not report them."""
        return self._plan.layers

    def write(self, inputs: Arrays) -> None:
        """Put inputs [n, ...] into pinned memory, unless they are there already."""
        for layout, buffer, values in zip(self._layouts_in, self.inputs, inputs, strict=True):
            if not (layout.plain and values.ctypes.data == buffer.ctypes.data):
                layout.write(buffer, values)

    def launch(self, count: int) -> None:
        """Enqueue copies and the engine for `count` samples; the context has to be current."""
        if self._graph is not None and count == self._batch:
            self._graph.launch()
            return
        if not self._plan.spec.static:
            self._set_batch(self._sample, count)
        self._enqueue(self._sample, self._batch if self._plan.spec.static else count)

    def read(self, count: int) -> list[npt.NDArray[Any]]:
        """Return a copy of the outputs [count, ...] of the finished batch."""
        result = []
        for layout, buffer, spec in zip(
            self._layouts_out, self._outputs, self._network.outputs, strict=True
        ):
            if layout.shape[:1] == (self._batch,) and not spec.shared:
                result.append(layout.read(buffer, count, spec.dtype).reshape(count, *spec.shape))
            else:  # a constant, or one result of a network with a fixed batch for all of it
                result.append(layout.read(buffer, None, spec.dtype))
        return result

    def close(self) -> None:
        """Release everything; never raise, since every call fails after a fault of the device."""
        with contextlib.suppress(Exception):
            if self._graph is not None:
                self._graph.close()
        self._graph = self._context = self._sample = None
        for memory in self._released:
            with contextlib.suppress(Exception):
                memory.free()
        self._released = []
        if not self._closed:
            self._closed = True
            self._plan.release()

    def _layout(self, spec: TensorSpec) -> Layout:
        engine, trt = self._plan.engine, self._bindings.trt
        shape = tuple(engine.get_tensor_shape(spec.name))
        shape = (self._batch, *shape[1:]) if shape and shape[0] == -1 else shape
        form = engine.get_tensor_format(spec.name)
        names = {
            getattr(trt.TensorFormat, name): name
            for name in ("LINEAR", DLA_LINEAR, "CHW16", "CHW32")
            if hasattr(trt.TensorFormat, name)
        }
        dtype = self._bindings.dtype(engine.get_tensor_dtype(spec.name))
        return Layout(
            spec.name, shape, dtype, names.get(form, str(form)), self._plan.scales.get(spec.name)
        )

    def _gathering(self) -> list[npt.NDArray[Any]]:
        return [
            buffer
            if layout.plain and layout.dtype == spec.dtype
            else np.zeros((self._batch, *spec.shape), spec.dtype)
            for layout, buffer, spec in zip(
                self._layouts_in, self.inputs, self._network.inputs, strict=True
            )
        ]

    def _check_strides(self) -> None:
        """Raise RuntimeError if the rows of DLA_LINEAR are not as far apart as documented."""
        for layout in (*self._layouts_in, *self._layouts_out):
            if layout.form == DLA_LINEAR:
                strides = tuple(self._context.get_tensor_strides(layout.name))
                pitch = layout.buffer_shape[-1]
                if len(strides) > 1 and strides[-2] != pitch:
                    raise RuntimeError(
                        f"rows of {layout.name} are {strides[-2]} elements apart, not {pitch}: "
                        "build with BuildOptions(dla_io='linear')"
                    )

    def _new_context(self) -> Any:
        context = self._bindings.context(self._plan.engine)
        if context is None:
            raise MemoryError(
                f"no execution context: {self._bindings.lines.errors() or 'out of memory'}"
            )
        # Each profile needs memory of its own size, so that it is chosen first.
        if not self._plan.spec.static and not context.set_optimization_profile_async(
            self._plan.spec.profile, self._stream.handle
        ):
            raise RuntimeError(
                f"the optimisation profile cannot be used: {self._bindings.lines.errors()}"
            )
        self._bindings.set_scratch(context, int(self._scratch[0]), self._scratch[1])
        for name, memory in self._device.items():
            if not context.set_tensor_address(name, int(memory)):
                raise RuntimeError(
                    f"no address can be set for {name}: {self._bindings.lines.errors()}"
                )
        return context

    def _set_batch(self, context: Any, count: int) -> None:
        if self._plan.spec.static:
            return
        for spec in self._network.inputs:
            if not context.set_input_shape(spec.name, (count, *spec.shape)):
                raise RuntimeError(
                    f"a batch of {count} does not fit the engine: {self._bindings.lines.errors()}"
                )

    def _enqueue(self, context: Any, count: int) -> None:
        for layout, buffer in zip(self._layouts_in, self.inputs, strict=True):
            self._cuda.to_device(self._device[layout.name], self._part(buffer, count), self._stream)
        if not context.execute_async_v3(self._stream.handle):
            reason = self._bindings.lines.errors() or "TensorRT does not say why"
            raise RuntimeError(f"the batch was not enqueued: {reason}")
        for layout, buffer, spec in zip(
            self._layouts_out, self._outputs, self._network.outputs, strict=True
        ):
            part = buffer if spec.shared else self._part(buffer, count)
            self._cuda.to_host(part, self._device[layout.name], self._stream)

    def _part(self, buffer: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
        return buffer if self._plan.spec.static else buffer[:count]

    def _capture(self) -> None:
        """Make a full batch one launch, except for networks that synchronise inside."""
        try:
            self._graph = CapturedGraph(
                self._stream.handle, lambda: self._enqueue(self._context, self._batch)
            )
        except Exception as error:  # pycuda's errors have no other common base
            self._bindings.lines.add("WARNING", f"no CUDA graph: {error}")
            # A context that failed in a capture cannot be used any more.
            self._context = self._sample = self._new_context()
            self._set_batch(self._context, self._batch)
            return
        if not self._plan.spec.static and self._batch > 1:
            self._sample = self._new_context()

    def _pinned(self, layout: Layout) -> npt.NDArray[Any]:
        array = self._cuda.pinned(layout.buffer_shape, layout.dtype)
        self._released.append(array.base)
        return array

    def _memory(self, size: int) -> Any:
        memory = self._cuda.memory(size)
        self._released.append(memory)
        return memory
