"""The one place that knows how TensorRT 8.6, 10.x and 11.x differ.

What a version can do is found by the names its module has, never by its number: the names of each version were read from the published
bindings (8.6.1, 10.3.0, 10.7.0, 10.13.3, 10.16.1, 11.0.0, 11.4.0). One thing no name tells: the names of the DLA exist in every version, also
in those that cannot run one, so that the DLA is there where the builder counts cores, and nowhere else.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from envs.errors import DependencyError, one_line
from envs.optional import optional_import
from envs.runtimes.tensorrt.log import LogLines, logger_for
from envs.runtimes.tensorrt.spec import EngineSpec


def load_bindings() -> Bindings:
    """The TensorRT of this computer; DependencyError where there is none."""
    try:
        return Bindings(optional_import("tensorrt", "jetson"))
    except DependencyError:
        raise DependencyError(
            "TensorRT cannot be imported: on a Jetson it belongs to the system's Python, so make "
            "the environment with `python3 -m venv --system-site-packages`; on a desktop GPU "
            "run `pip install tensorrt`"
        ) from None


class Bindings:
    """A TensorRT module with one face.

    Attributes:
        trt: the module.
        lines: what it logged last.
        logger: the one logger that everything of this module gets.
    """

    def __init__(self, module: Any) -> None:
        self.trt = module
        self.lines = LogLines()
        self.logger = logger_for(module, self.lines)

    @property
    def version(self) -> str:
        """The version of the module, such as `10.3.0`."""
        return str(self.trt.__version__)

    @property
    def strongly_typed(self) -> bool:
        """Whether the types in the ONNX file alone say the precision: from 11 on."""
        return not hasattr(self.trt.BuilderFlag, "INT8")

    @property
    def shares_profiles(self) -> bool:
        """Whether several contexts may use one optimisation profile at once: by default from 10 on, on demand in 8.6, not before."""
        return (
            not self._explicit_batch
            or self._sharing_feature is not None
            or hasattr(self.trt, "ExecutionContextAllocationStrategy")
        )

    def builder(self) -> Any:
        return self._made("builder", self.trt.Builder)

    def dla_cores(self) -> int:
        """DLA cores that this TensorRT can use."""
        return int(self.builder().num_DLA_cores)

    def network(self, builder: Any) -> Any:
        """An empty network with explicit batch, which 8.x has to be asked for."""
        flags = self.trt.NetworkDefinitionCreationFlag
        return builder.create_network(1 << int(flags.EXPLICIT_BATCH) if self._explicit_batch else 0)

    def parser(self, network: Any) -> Any:
        """What fills `network`. It owns the weights, so that it has to live until the engine is built (NvOnnxParser.h)."""
        return self.trt.OnnxParser(network, self.logger)

    def parse(self, parser: Any, path: str) -> list[str]:
        """Reads the ONNX file; what is wrong with it, one entry an error."""
        if parser.parse_from_file(path):
            return []
        return [
            " ".join(str(parser.get_error(position)).split())
            for position in range(parser.num_errors)
        ] or ["it does not say why"]

    def set_precision(self, config: Any, spec: EngineSpec) -> None:
        """Permit what `spec` asks for, and for `cuda` forbid the Tensor cores that FP32 would use through TF32."""
        flags = self.trt.BuilderFlag
        if spec.precision == "fp32":
            config.clear_flag(flags.TF32)
            self._drop_vendor_tactics(config)
        if spec.precision == "fp32" or self.strongly_typed:
            return
        # With INT8, too: a layer without a range would be left with FP32, which a DLA cannot run at all.
        config.set_flag(flags.FP16)
        if spec.precision == "int8":
            config.set_flag(flags.INT8)

    def set_ranges(self, network: Any, ranges: Mapping[str, float]) -> None:
        """Implicit INT8 without a calibrator: every tensor gets a symmetric range, measured or, where nobody knows its name, a neighbour's.

        All that a pool or a concatenation reads and gives has one range, the largest: otherwise no DLA takes it in INT8, and the GPU gets it without
        an error (TensorRT documentation, "DLA Supported Layers and Restrictions").
        """
        usual = sorted(ranges.values())[len(ranges) // 2]
        layers = [network.get_layer(position) for position in range(network.num_layers)]
        for position in range(network.num_inputs):
            _set_range(network.get_input(position), ranges, usual)
        for layer in layers:
            read = [layer.get_input(position) for position in range(layer.num_inputs)]
            known = next(
                (tensor for tensor in read if tensor is not None and tensor.dynamic_range), None
            )
            following = (
                known.dynamic_range[1]
                if known is not None and layer.type != self.trt.LayerType.CONCATENATION
                else usual
            )
            for position in range(layer.num_outputs):
                _set_range(layer.get_output(position), ranges, following)
        tied = [
            _ends(layer)
            for layer in layers
            if layer.type in (self.trt.LayerType.POOLING, self.trt.LayerType.CONCATENATION)
        ]
        while sum(
            _tie(tensors) for tensors in (*tied, *reversed(tied))
        ):  # there and back, since one may feed another
            pass

    def set_dla(self, config: Any) -> None:
        """Send to the DLA what it takes, and the rest to the GPU; the core is that of whoever loads the plan."""
        config.default_device_type = self.trt.DeviceType.DLA
        config.DLA_core = 0
        config.set_flag(self.trt.BuilderFlag.GPU_FALLBACK)

    def set_native_io(self, network: Any, precision: str) -> dict[str, float]:
        """Let inputs and outputs be in the DLA's own type and formats, so that nothing has to reformat; the scales of INT8 ones, by name.

        Only what has the three dimensions that these formats need, and is FP32 in the file; where the file says the types, FP16.
        """
        trt, scales = self.trt, {}
        as_int8 = precision == "int8" and not self.strongly_typed
        kind, form = (
            (trt.DataType.INT8, trt.TensorFormat.CHW32)
            if as_int8
            else (trt.DataType.HALF, trt.TensorFormat.CHW16)
        )
        given = trt.DataType.HALF if self.strongly_typed else trt.DataType.FLOAT
        inputs = [network.get_input(position) for position in range(network.num_inputs)]
        for tensor in inputs + [
            network.get_output(position) for position in range(network.num_outputs)
        ]:
            if tensor.dtype != given or len(tensor.shape) < 3:
                continue
            if not self.strongly_typed:
                tensor.dtype = kind
            tensor.allowed_formats = 1 << int(trt.TensorFormat.DLA_LINEAR) | 1 << int(form)
            if as_int8:
                scales[tensor.name] = float(tensor.dynamic_range[1]) / 127
        return scales

    def share_profiles(self, config: Any) -> None:
        """Let contexts share the one profile where that has to be asked for."""
        if (
            self._sharing_feature is not None
            and self._explicit_batch
            and not hasattr(self.trt, "ExecutionContextAllocationStrategy")
        ):
            config.set_preview_feature(self._sharing_feature, True)

    def set_pool(self, config: Any, name: str, size: int) -> int:
        """Limits a memory pool; what it really became, since an illegal size is ignored without an error (NvInfer.h)."""
        pool = getattr(self.trt.MemoryPoolType, name)
        config.set_memory_pool_limit(pool, size)
        return int(config.get_memory_pool_limit(pool))

    def timing_cache(self, config: Any, content: bytes) -> Any:
        """Gives the builder what was measured before; damaged or foreign timings are dropped. None where this TensorRT measures nothing."""
        for known in (content, b""):
            with contextlib.suppress(RuntimeError, TypeError, ValueError):
                cache = config.create_timing_cache(known)
                if cache is not None and config.set_timing_cache(cache, False):
                    return cache
        return None

    @contextlib.contextmanager
    def deprecations_known(self) -> Iterator[None]:
        """Ranges and FP16 flags are deprecated from 10.1 on, and the only way there to an engine that the DLA of 10.7 takes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield

    def watch(self, config: Any, step: Any) -> Any:
        """Calls `step(phase, done, total)` while the builder works, where it can; give the result to nobody, and keep it until the build ends."""
        if not hasattr(self.trt, "IProgressMonitor"):
            return None
        base, totals = self.trt.IProgressMonitor, dict[str, int]()

        class Monitor(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def phase_start(self, phase: str, parent: str, steps: int) -> None:
                totals[phase] = steps

            def step_complete(self, phase: str, position: int) -> bool:
                step(phase, position + 1, totals.get(phase, 0))
                return True  # False would end the build

            def phase_finish(self, phase: str) -> None:
                totals.pop(phase, None)

        config.progress_monitor = monitor = Monitor()
        return monitor

    def runtime(self, dla_core: int | None) -> Any:
        """A runtime of its own for each DLA core; the core has to be set before anything is deserialised, or all of it lands on core 0."""
        runtime = self._made("runtime", self.trt.Runtime)
        if dla_core is not None:
            runtime.DLA_core = dla_core
        return runtime

    def context(self, engine: Any) -> Any:
        """An execution context that brings no activation memory; None where there is no memory for it.

        8.6 holds Python's lock meanwhile, on a Jetson for seconds (NVIDIA/TensorRT issue 2945): there, what serves has to wait.
        """
        strategies = getattr(self.trt, "ExecutionContextAllocationStrategy", None)
        if strategies is not None:
            return engine.create_execution_context(strategies.USER_MANAGED)
        return engine.create_execution_context_without_device_memory()

    def scratch_bytes(self, engine: Any) -> int:
        """Activation memory that one context of `engine` needs."""
        size = (
            engine.device_memory_size_v2
            if hasattr(engine, "device_memory_size_v2")
            else engine.device_memory_size
        )
        return int(size)

    def set_scratch(self, context: Any, address: int, size: int) -> None:
        """Gives a context its activation memory."""
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(address, size)
        else:
            context.device_memory = address

    def dtype(self, kind: Any) -> str:
        """Numpy's name of a TensorRT type; `trt.nptype` of 8.5 fails with numpy from 1.24 on. KeyError for types that numpy lacks."""
        names = {
            "FLOAT": "float32",
            "HALF": "float16",
            "INT8": "int8",
            "INT32": "int32",
            "INT64": "int64",
            "BOOL": "bool",
            "UINT8": "uint8",
        }
        known = {
            getattr(self.trt.DataType, name): dtype
            for name, dtype in names.items()
            if hasattr(self.trt.DataType, name)
        }
        return known[kind]

    def _made(self, what: str, make: Any) -> Any:
        try:
            return make(self.logger)
        except (
            TypeError,
            RuntimeError,
        ) as error:  # pybind11 raises TypeError where a factory gave nothing
            raise DependencyError(
                f"TensorRT {self.version} makes no {what} here: {self.lines.errors() or one_line(error)}"
            ) from error

    @property
    def _explicit_batch(self) -> bool:
        return hasattr(self.trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH")

    @property
    def _sharing_feature(self) -> Any:
        return getattr(getattr(self.trt, "PreviewFeature", None), "PROFILE_SHARING_0806", None)

    def _drop_vendor_tactics(self, config: Any) -> None:
        """TensorRT's own kernels alone, where cuBLAS and cuDNN are an option: 8.x has them on, 10 off, 11 no more."""
        sources = self.trt.TacticSource
        if hasattr(sources, "CUBLAS"):
            config.set_tactic_sources(
                1 << int(sources.JIT_CONVOLUTIONS) | 1 << int(sources.EDGE_MASK_CONVOLUTIONS)
            )


def _ends(layer: Any) -> list[Any]:
    """All tensors that a layer reads and gives."""
    tensors = [layer.get_input(position) for position in range(layer.num_inputs)] + [
        layer.get_output(position) for position in range(layer.num_outputs)
    ]
    return [tensor for tensor in tensors if tensor is not None]


def _tie(tensors: list[Any]) -> bool:
    """Gives all of them the largest range that one of them has; whether that changed anything."""
    limit = max(tensor.dynamic_range[1] for tensor in tensors)
    smaller = [tensor for tensor in tensors if tensor.dynamic_range[1] < limit]
    for tensor in smaller:
        tensor.dynamic_range = (-limit, limit)
    return bool(smaller)


def _set_range(tensor: Any, ranges: Mapping[str, float], otherwise: float) -> None:
    if tensor is not None and not tensor.dynamic_range:
        limit = ranges.get(tensor.name, otherwise)
        tensor.dynamic_range = (-limit, limit)
