"""A lane: an execution context of a plan with its own buffers, on its instance's stream."""

import contextlib
import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import one_line
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.layout import Layout, LayoutError, linear_strides
from envs.runtimes.tensorrt.loaded import LoadedPlan
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Network, TensorSpec


class Lane:
    """Runs batches of up to `plan.spec.batch`, one at a time, on one stream.

    With CUDA graphs a full batch is one launch, copies included. A graph is bound to the shapes and
    the state of the context that it was captured from (TensorRT developer guide, "CUDA Graphs"), so
    that smaller batches run on a second context with the same memory, which is proven here too.

    Args:
        bindings: TensorRT.
        cuda: the GPU, whose context is current.
        plan: the engine.
        network: the network that it computes.
        stream: of the instance.
        graphs: whether a full batch should be one launch.
        places: sets of host memory; with two, one is filled while the other is on the device.
        held: memory on the device, by name, of inputs that are there already.
        inner: outputs that stay on the device.

    Attributes:
        inputs: pinned memory of each input in its layout, by place.
        gathering: arrays [batch, ...] of each input in the network's own layout, in which batches
            are put together; the same memory as `inputs` where the layouts agree.
        graph_refused: why there is no CUDA graph; empty if there is one, or none was wanted.

    Raises:
        LayoutError: TensorRT tells a layout that no memory can have.
    """

    def __init__(
        self,
        bindings: Bindings,
        cuda: Cuda,
        plan: LoadedPlan,
        network: Network,
        stream: Any,
        graphs: bool,
        places: int = 1,
        held: Mapping[str, Any] = MappingProxyType({}),
        inner: Collection[str] = (),
    ) -> None:
        self._bindings, self._cuda, self._network = bindings, cuda, network
        self._plan, self._stream = plan, stream
        self._released: list[Any] = []
        self._device: dict[str, Any] = dict(held)
        self._copied_in = [each for each in network.inputs if each.name not in held]
        self._copied_out = [each for each in network.outputs if each.name not in inner]
        self._graph: CapturedGraph | None = None
        self._closed = False
        self.graph_refused = ""
        plan.hold()
        bindings.lines.clear()
        try:
            self._batch = network.fixed_batch or plan.spec.batch
            size = bindings.scratch_bytes(plan.engine, plan.spec.profile)
            self._scratch = self._memory(size), size
            self._context = self._sample = self._new_context()
            self._layouts_in = [self._layout(each) for each in self._copied_in]
            self._layouts_out = [self._layout(each) for each in self._copied_out]
            staying = [self._layout(each) for each in network.outputs if each.name in inner]
            self.inputs = [[self._pinned(each) for each in self._layouts_in] for _ in range(places)]
            self._outputs = [
                [self._pinned(each) for each in self._layouts_out] for _ in range(places)
            ]
            self.gathering = self._gathering()
            for layout in (*self._layouts_in, *self._layouts_out, *staying):
                self._device[layout.name] = self._memory(layout.size)
            self._connect(self._context)
            # The first launch loads the kernels, which must not happen during a capture, nor while
            # requests wait.
            self._enqueue(self._context, self._batch)
            stream.synchronize()
            if graphs:
                self._capture()
        except BaseException:
            self.close()
            raise

    @property
    def layers(self) -> PlacedLayers | None:
        """Return the placed layers; None if the engine does not report them."""
        return self._plan.layers

    @property
    def parts(self) -> tuple["Lane", ...]:
        """Return itself: it launches all of a network at once."""
        return (self,)

    @property
    def device(self) -> Mapping[str, Any]:
        """Return the memory on the device of inputs and outputs, by name."""
        return self._device

    @property
    def linear(self) -> list[tuple[str, int]]:
        """Return names and dimensions of arrays that have no format of the DLA: those not of four.

        Empty where no such formats were asked for. Shared outputs stay as they are in any case.
        """
        shared = {spec.name for spec in self._network.outputs if spec.shared}
        return [
            (layout.name, len(layout.shape))
            for layout in (*self._layouts_in, *self._layouts_out)
            if self._plan.spec.native_io and len(layout.shape) != 4 and layout.name not in shared
        ]

    @property
    def takes(self) -> list[tuple[str, float | None]]:
        """Return the type of each input in memory, and the value of a step if it has one."""
        return [(layout.dtype, layout.scale) for layout in self._layouts_in]

    def write(self, inputs: Arrays, place: int = 0) -> None:
        """Put inputs [n, ...] into pinned memory, unless they are there already."""
        for layout, memory, values in zip(
            self._layouts_in, self.inputs[place], inputs, strict=True
        ):
            if not (layout.plain and values.ctypes.data == memory.ctypes.data):
                layout.write(memory, values)

    def launch(self, count: int, place: int = 0) -> None:
        """Enqueue copies and the engine for `count` samples; the context has to be current."""
        if self._graph is not None and count == self._batch:
            self._graph.launch()
            return
        self._set_batch(self._sample, count)
        self._enqueue(self._sample, count, place)

    def read(self, count: int, place: int = 0) -> list[npt.NDArray[Any]]:
        """Return a copy of the outputs [count, ...] of the finished batch."""
        result = []
        for layout, memory, spec in zip(
            self._layouts_out, self._outputs[place], self._copied_out, strict=True
        ):
            if layout.shape[:1] == (self._batch,) and not spec.shared:
                result.append(layout.read(memory, count, spec.dtype).reshape(count, *spec.shape))
            else:  # a constant, or one result of a network with a fixed batch for all of it
                result.append(layout.read(memory, None, spec.dtype))
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
        """Ask TensorRT how a tensor lies in memory; it answers for the context's batch.

        Where an engine has several profiles it answers for the first one, but only engines with
        one batch size may have another format than the linear one.
        """
        engine, name = self._plan.engine, spec.name
        shape = tuple(engine.get_tensor_shape(name))
        shape = (self._batch, *shape[1:]) if shape and shape[0] == -1 else shape
        form = self._bindings.format_name(engine.get_tensor_format(name))
        dtype = self._bindings.dtype(engine.get_tensor_dtype(name))
        packed = int(engine.get_tensor_vectorized_dim(name))
        components = 1 if packed == -1 else int(engine.get_tensor_components_per_element(name))
        width = int(engine.get_tensor_bytes_per_component(name))
        if packed != -1 and width != np.dtype(dtype).itemsize:
            raise LayoutError(f"{name} is {dtype}, but TensorRT tells {width} bytes a number")
        strides = self._strides(name)
        if strides is None and form == "LINEAR":
            strides = linear_strides(shape)  # the definition of that format
        described = str(engine.get_tensor_format_desc(name))
        scale = self._plan.scales.get(name) if dtype == "int8" else None
        return Layout(name, shape, dtype, strides or (), packed, components, form, scale, described)

    def _strides(self, name: str) -> tuple[int, ...] | None:
        """Return the strides that the context tells; None if it tells none."""
        try:
            return tuple(int(stride) for stride in self._context.get_tensor_strides(name))
        except ValueError:  # its Dims have the length -1, which Python does not allow
            return None

    def _gathering(self) -> list[npt.NDArray[Any]]:
        return [
            memory[: math.prod(layout.shape)].reshape(layout.shape)
            if layout.plain and layout.dtype == spec.dtype
            else np.zeros((self._batch, *spec.shape), spec.dtype)
            for layout, memory, spec in zip(
                self._layouts_in, self.inputs[0], self._copied_in, strict=True
            )
        ]

    def _new_context(self) -> Any:
        """Return a context for full batches, with the addresses of all memory that there is."""
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
        self._set_batch(context, self._batch)
        self._connect(context)
        return context

    def _connect(self, context: Any) -> None:
        for name, memory in self._device.items():
            if not context.set_tensor_address(name, int(memory)):
                raise RuntimeError(
                    f"no address can be set for {name}: {self._bindings.lines.errors()}"
                )

    def _set_batch(self, context: Any, count: int) -> None:
        if self._plan.spec.static:
            return
        for spec in self._network.inputs:
            if not context.set_input_shape(spec.name, (count, *spec.shape)):
                raise RuntimeError(
                    f"a batch of {count} does not fit the engine: {self._bindings.lines.errors()}"
                )

    def _enqueue(self, context: Any, count: int, place: int = 0) -> None:
        for layout, memory in zip(self._layouts_in, self.inputs[place], strict=True):
            part = self._part(layout, memory, count)
            self._cuda.to_device(self._device[layout.name], part, self._stream)
        if not context.execute_async_v3(self._stream.handle):
            reason = self._bindings.lines.errors() or "TensorRT does not say why"
            raise RuntimeError(f"the batch was not enqueued: {reason}")
        for layout, memory, spec in zip(
            self._layouts_out, self._outputs[place], self._copied_out, strict=True
        ):
            part = memory if spec.shared else self._part(layout, memory, count)
            self._cuda.to_host(part, self._device[layout.name], self._stream)

    def _part(self, layout: Layout, memory: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
        return memory if self._plan.spec.static else memory[: layout.part(count)]

    def _capture(self) -> None:
        """Make a full batch one launch, except for networks that synchronise inside.

        Smaller batches then run on another context, whose kernels are loaded at once.
        """
        try:
            self._graph = CapturedGraph(
                self._stream.handle, lambda: self._enqueue(self._context, self._batch)
            )
        except Exception as error:  # pycuda's errors have no other common base
            self.graph_refused = one_line(error)
            # A context that failed in a capture cannot be used any more.
            self._context = self._sample = self._new_context()
            self._enqueue(self._sample, self._batch)
            self._stream.synchronize()
            return
        if not self._plan.spec.static and self._batch > 1:
            self._sample = self._new_context()
            self._set_batch(self._sample, 1)
            self._enqueue(self._sample, 1)
            self._stream.synchronize()

    def _pinned(self, layout: Layout) -> npt.NDArray[Any]:
        array = self._cuda.pinned((layout.scalars,), layout.dtype)
        self._released.append(array.base)
        return array

    def _memory(self, size: int) -> Any:
        memory = self._cuda.memory(size)
        self._released.append(memory)
        return memory
