"""The one place that knows how TensorRT 8.6, 10.x and 11.x differ.

The features of a version are found by the names that its module has, never by its number. The
names of each version were read from the published bindings (8.6.1, 10.3.0, 10.7.0, 10.13.3,
10.16.1, 11.0.0, 11.4.0). One feature has no name of its own: the names of the DLA exist in every
version, also in those that cannot run one, so that there is a DLA only where the builder counts
cores.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from envs.errors import DependencyError, one_line
from envs.runtimes.tensorrt.loading import load_native
from envs.runtimes.tensorrt.log import LogLines, logger_for, monitor_for
from envs.runtimes.tensorrt.progress import BuildWatch
from envs.runtimes.tensorrt.spec import EngineSpec

#: NumPy's names of TensorRT's types; `trt.nptype` of 8.5 fails with NumPy from 1.24 on.
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}


_REINSTALL = (
    "on a Jetson run `sudo apt install --reinstall python3-libnvinfer`, on a desktop GPU "
    "`pip install --force-reinstall tensorrt`"
)


def load_bindings() -> Bindings:
    """Return the TensorRT of this computer; DependencyError with the reason where there is none."""
    try:
        return Bindings(load_native("tensorrt", "TensorRT", _REINSTALL))
    except DependencyError as error:
        if error.__cause__ is not None:
            raise
    raise DependencyError(
        "TensorRT cannot be imported: on a Jetson it belongs to the system's Python, so make "
        "the environment with `python3 -m venv --system-site-packages`; on a desktop GPU "
        "run `pip install tensorrt`"
    )


class Bindings:
    """A TensorRT module behind one interface for all versions.

    Attributes:
        trt: the module.
        lines: the last lines that it logged.
        logger: the one logger that every object of this module gets.
    """

    def __init__(self, module: Any) -> None:
        self.trt = module
        self.lines = LogLines()
        self.logger = logger_for(module, self.lines)
        self._lock, self._has_plugins = threading.Lock(), False

    @property
    def version(self) -> str:
        """Return the version of the module, such as `10.3.0`."""
        return str(self.trt.__version__)

    @property
    def strongly_typed(self) -> bool:
        """Return True if the types in the ONNX file alone decide the precision: from 11 on."""
        return not hasattr(self.trt.BuilderFlag, "INT8")

    @property
    def has_bf16(self) -> bool:
        """Return True if BF16 is one of its types: from 9 on."""
        return hasattr(self.trt.DataType, "BF16")

    @property
    def shares_profiles(self) -> bool:
        """Return True if several contexts may use one optimisation profile at once.

        They may by default from 10 on, and on demand in 8.6, but not before.
        """
        return (
            not self._explicit_batch
            or self._sharing_feature is not None
            or hasattr(self.trt, "ExecutionContextAllocationStrategy")
        )

    def builder(self) -> Any:
        """Return a builder."""
        return self._made("builder", self.trt.Builder)

    def dla_cores(self) -> int:
        """Count the DLA cores that this TensorRT can use."""
        return int(self.builder().num_DLA_cores)

    def network(self, builder: Any) -> Any:
        """Return an empty network with explicit batch, which 8.x has to be asked for."""
        flags = self.trt.NetworkDefinitionCreationFlag
        return builder.create_network(1 << int(flags.EXPLICIT_BATCH) if self._explicit_batch else 0)

    def parser(self, network: Any) -> Any:
        """Return a parser that fills `network`.

        It owns the weights, so that it has to live until the engine is built (NvOnnxParser.h).
        """
        return self.trt.OnnxParser(network, self.logger)

    def parse(self, parser: Any, path: str) -> list[str]:
        """Read an ONNX file; return its errors, which are none if it was read."""
        if parser.parse_from_file(path):
            return []
        return [
            " ".join(str(parser.get_error(position)).split())
            for position in range(parser.num_errors)
        ] or ["it does not say why"]

    def set_precision(self, config: Any, spec: EngineSpec) -> None:
        """Permit the precision of `spec`; for FP32 forbid TF32, which uses Tensor Cores."""
        flags = self.trt.BuilderFlag
        if spec.precision == "fp32" or spec.has_fp32_part:
            config.clear_flag(flags.TF32)
            self._drop_vendor_tactics(config)
        if spec.precision == "fp32" or self.strongly_typed:
            return
        if spec.precision == "bf16":
            config.set_flag(flags.BF16)
            return
        # FP16 also with INT8: a layer without a range would otherwise stay FP32, which no DLA runs.
        config.set_flag(flags.FP16)
        if spec.precision == "int8":
            config.set_flag(flags.INT8)

    def set_dla(self, config: Any) -> None:
        """Build for the DLA, and let the GPU run the layers that the DLA does not take."""
        config.default_device_type = self.trt.DeviceType.DLA
        self.let_dla(config)

    def let_dla(self, config: Any) -> None:
        """Let layers be placed on a DLA, whose core is chosen when the plan is loaded."""
        config.DLA_core = 0
        config.set_flag(self.trt.BuilderFlag.GPU_FALLBACK)

    def share_profiles(self, config: Any) -> None:
        """Let contexts share the one profile, in versions that have to be asked for it."""
        if (
            self._sharing_feature is not None
            and self._explicit_batch
            and not hasattr(self.trt, "ExecutionContextAllocationStrategy")
        ):
            config.set_preview_feature(self._sharing_feature, True)

    def set_pool(self, config: Any, name: str, size: int) -> int:
        """Limit a memory pool; return its real limit, since an illegal one is ignored silently.

        (NvInfer.h)
        """
        pool = getattr(self.trt.MemoryPoolType, name)
        config.set_memory_pool_limit(pool, size)
        return int(config.get_memory_pool_limit(pool))

    def timing_cache(self, config: Any, content: bytes) -> Any:
        """Give the builder earlier timings, unless they are damaged or of another device.

        Returns:
            The cache that the builder fills; None if it takes none.
        """
        for timings in (content, b""):
            with contextlib.suppress(RuntimeError, TypeError, ValueError):
                cache = config.create_timing_cache(timings)
                if cache is not None and config.set_timing_cache(cache, False):
                    return cache
        return None

    @contextlib.contextmanager
    def ignore_deprecations(self) -> Iterator[None]:
        """Silence the deprecation of ranges and FP16 flags.

        They are deprecated from 10.1 on, but are the only way there to an engine that the DLA of
        10.7 takes.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield

    @property
    def has_monitor(self) -> bool:
        """Return True if its builder tells its progress and can be ended: from 10 on."""
        return hasattr(self.trt, "IProgressMonitor")

    def watch(self, config: Any, watch: BuildWatch) -> Any:
        """Let `watch` follow the builder, where this TensorRT can.

        Returns:
            An object that must be kept until the build ends.
        """
        if not self.has_monitor:
            return None
        config.progress_monitor = monitor = monitor_for(self.trt, watch)
        return monitor

    def runtime(self, dla_core: int | None) -> Any:
        """Return a runtime that loads plans for one DLA core, or for the GPU.

        The core has to be set before a plan is loaded; otherwise it lands on core 0.
        """
        runtime = self._made("runtime", self.trt.Runtime)
        if dla_core is not None:
            runtime.DLA_core = dla_core
        return runtime

    def context(self, engine: Any) -> Any:
        """Return an execution context without activation memory; None if there is no memory for it.

        8.6 holds Python's lock meanwhile, on a Jetson for seconds (NVIDIA/TensorRT issue 2945);
        there the instances that serve have to wait.
        """
        strategies = getattr(self.trt, "ExecutionContextAllocationStrategy", None)
        if strategies is not None:
            return engine.create_execution_context(strategies.USER_MANAGED)
        return engine.create_execution_context_without_device_memory()

    def scratch_bytes(self, engine: Any, profile: int = 0) -> int:
        """Return the activation memory that one context of `engine` needs in a profile.

        8.6 tells only what the largest profile needs.
        """
        if hasattr(engine, "get_device_memory_size_for_profile_v2"):
            return int(engine.get_device_memory_size_for_profile_v2(profile))
        size = (
            engine.device_memory_size_v2
            if hasattr(engine, "device_memory_size_v2")
            else engine.device_memory_size
        )
        return int(size)

    def set_scratch(self, context: Any, address: int, size: int) -> None:
        """Give a context its activation memory."""
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(address, size)
        else:
            context.device_memory = address

    def dtype(self, kind: Any) -> str:
        """Return NumPy's name of a TensorRT type; KeyError for types that NumPy lacks."""
        names = {
            getattr(self.trt.DataType, name): dtype
            for name, dtype in DTYPES.items()
            if hasattr(self.trt.DataType, name)
        }
        return names[kind]

    def format_name(self, form: Any) -> str:
        """Return TensorRT's name of a format, such as `CHW32`."""
        return str(getattr(form, "name", form))

    def _register_plugins(self) -> None:
        """Register TensorRT's own plugins, which parser and plans may need; RTX has none."""
        with self._lock:
            if not self._has_plugins and hasattr(self.trt, "init_libnvinfer_plugins"):
                self.trt.init_libnvinfer_plugins(self.logger, "")
            self._has_plugins = True

    def _made(self, name: str, make: Any) -> Any:
        self._register_plugins()
        try:
            return make(self.logger)
        except (TypeError, RuntimeError) as error:  # pybind11: TypeError if a factory gave null
            reason = self.lines.errors() or one_line(error)
            raise DependencyError(
                f"TensorRT {self.version} makes no {name} here: {reason}"
            ) from error

    @property
    def _explicit_batch(self) -> bool:
        return hasattr(self.trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH")

    @property
    def _sharing_feature(self) -> Any:
        return getattr(getattr(self.trt, "PreviewFeature", None), "PROFILE_SHARING_0806", None)

    def _drop_vendor_tactics(self, config: Any) -> None:
        """Use TensorRT's own kernels only, where cuBLAS and cuDNN are an option.

        8.x uses them by default, 10 does not, 11 has none.
        """
        sources = self.trt.TacticSource
        if hasattr(sources, "CUBLAS"):
            config.set_tactic_sources(
                1 << int(sources.JIT_CONVOLUTIONS) | 1 << int(sources.EDGE_MASK_CONVOLUTIONS)
            )
