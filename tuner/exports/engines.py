"""Options of building engines: versions of TensorRT, precisions and types.

Sources: the enumerations of the published bindings of TensorRT 8.6.1, 10.3.0, 10.7.0 and 11.4.0;
TensorRT documentation, "Migrating from TensorRT 10.x to 11.x".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from envs.errors import NetworkError, OptionError
from envs.spec import Kind, TensorSpec
from tuner.exports.models import Model

#: Versions of TensorRT whose command lines differ: 8.6 has no 64-bit integers, 11 takes precision
#: from the network and has no flags for it.
VERSIONS = ("8.6", "10", "11")
PRECISIONS = ("fp16", "int8")

#: The types of an engine's inputs and outputs, by NumPy's names; 8.6 turns int64 into int32.
DTYPES = {"float32", "float16", "int8", "uint8", "int32", "bool"}
WIDER = {"int64", "bfloat16"}


@dataclass(frozen=True)
class BuildOptions:
    """Options of building engines for an export.

    Attributes:
        tensorrt: one of `VERSIONS`.
        tensor_precision: of the Tensor Cores; the CUDA cores compute in FP32 without TF32.
        dla_precision: of the DLAs.
        workspace_mib: the most scratch memory a kernel may ask for.
        calibration: for each tenant the source of INT8 ranges: the cache of a calibrator, or for 11
            a .npy or .npz file of inputs; None for ranges that are right for measuring speed and
            wrong for everything else.
    """

    tensorrt: str = "10"
    tensor_precision: str = "fp16"
    dla_precision: str = "int8"
    workspace_mib: int = 1024
    calibration: tuple[Path | None, ...] = ()

    def __post_init__(self) -> None:
        if self.tensorrt not in VERSIONS:
            raise OptionError(f"tensorrt={self.tensorrt} must be one of {', '.join(VERSIONS)}")
        for key in ("tensor_precision", "dla_precision"):
            if getattr(self, key) not in PRECISIONS:
                raise OptionError(
                    f"{key}={getattr(self, key)} must be one of {', '.join(PRECISIONS)}"
                )
        if self.workspace_mib < 1:
            raise OptionError(f"workspace_mib={self.workspace_mib} must be at least 1")
        for path in self.calibration:
            if path is None:
                continue
            if not path.is_file():
                raise OptionError(f"calibration: there is no file {path}")
            if self.tensorrt == "11" and path.suffix not in (".npy", ".npz"):
                raise OptionError(
                    f"calibration={path}: TensorRT 11 has no calibration caches, give a .npy or"
                    " .npz file of inputs"
                )

    @property
    def strongly_typed(self) -> bool:
        """Return True if the network itself says its precision."""
        return self.tensorrt == "11"

    def precision(self, model: Model) -> str:
        """Return `fp32`, `fp16` or `int8`."""
        accelerator = model.accelerator
        if accelerator.kind is Kind.DLA:
            return self.dla_precision
        if accelerator.kind is Kind.TENSOR_CORES:
            return self.tensor_precision
        return "int8" if accelerator.weight_bytes == 1 else "fp32"

    def calibration_of(self, tenant: int) -> Path | None:
        """Return the source of a tenant's INT8 ranges."""
        return self.calibration[tenant] if self.calibration else None


def check_no_cpu(target: str, models: Iterable[Model]) -> None:
    """Raise an OptionError if a model runs on a processor, for which no engine is built."""
    for model in models:
        if model.on_cpu:
            raise OptionError(
                f"target={target} is for a GPU and DLAs, and the configuration uses"
                f" {model.accelerator.name}: give --target triton"
            )


def engine_dtype(spec: TensorSpec, build: BuildOptions, model: Model) -> str:
    """Return the type of an input or output in an engine, by NumPy's name.

    Raises:
        NetworkError: TensorRT has no such type.
    """
    if spec.dtype in DTYPES or (spec.dtype in WIDER and build.tensorrt != "8.6"):
        return spec.dtype
    if spec.dtype == "int64":
        return "int32"
    raise NetworkError(
        f"{str(model.path)!r}: {spec.name!r} holds {spec.dtype}, which TensorRT {build.tensorrt}"
        " does not take: export it as float32"
    )
