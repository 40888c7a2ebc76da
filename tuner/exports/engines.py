"""Options of building engines: versions of TensorRT, precisions and types.

Sources: the enumerations of the published bindings of TensorRT 8.6.1, 10.3.0, 10.7.0 and 11.4.0;
TensorRT documentation, "Migrating from TensorRT 10.x to 11.x".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from envs.errors import NetworkError, OptionError
from envs.spec import ACCELERATORS, Accelerator, Agreement, Kind, TensorSpec
from tuner.exports.calibrated import Calibration
from tuner.exports.models import Model

#: Versions of TensorRT whose command lines differ: 8.6 has no 64-bit integers, 11 takes precision
#: from the network and has no flags for it.
VERSIONS = ("8.6", "10", "11")
PRECISIONS = ("fp16", "int8")

#: Precisions of engines, the smallest numbers first.
NARROW_FIRST = ("int8", "fp16", "bf16", "fp32")

#: Suffixes of files with inputs.
ARRAYS = (".npy", ".npz")

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
        calibration: for each tenant the user's own source of INT8 ranges: the cache of a
            calibrator, or for 11 a .npy or .npz file of inputs; None where there is none.
        calibrated: INT8 ranges that were measured here, by the name of the model. A model without
            any has made-up ones, which are right for measuring speed and wrong for answers.
        halves: agreement with FP32 of the models in FP16, by name.
    """

    tensorrt: str = "10"
    tensor_precision: str = "fp16"
    dla_precision: str = "int8"
    workspace_mib: int = 1024
    calibration: tuple[Path | None, ...] = ()
    calibrated: Mapping[str, Calibration] = field(default_factory=dict)
    halves: Mapping[str, Agreement] = field(default_factory=dict)

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
            if self.tensorrt == "11" and path.suffix not in ARRAYS:
                raise OptionError(
                    f"calibration={path}: TensorRT 11 has no calibration caches, give a .npy or"
                    " .npz file of inputs"
                )
            if self.tensorrt != "11" and path.suffix in ARRAYS:
                raise OptionError(
                    f"calibration={path}: TensorRT {self.tensorrt} takes a calibration cache here:"
                    f" give inputs as --samples {path}"
                )

    @property
    def strongly_typed(self) -> bool:
        """Return True if the network itself says its precision."""
        return self.tensorrt == "11"

    def precision(self, model: Model) -> str:
        """Return `fp32`, `fp16`, `bf16` or `int8`: the smallest numbers that a model computes with.

        A quantised file is INT8 wherever it runs, and what a file holds in FP16 or BF16 stays so.
        """
        found = self.part_precisions(model).values()
        return next(each for each in NARROW_FIRST if each in found)

    def part_precisions(self, model: Model) -> dict[str, str]:
        """Return the precision at each accelerator that a model runs on: one, or a mapping's."""
        mapping = model.accelerator.mapping
        used = (
            [model.accelerator]
            if mapping is None
            else [ACCELERATORS[name] for name in mapping.accelerators]
        )
        return {each.name: self._precision_at(model, each) for each in used}

    def _precision_at(self, model: Model, accelerator: Accelerator) -> str:
        wanted, halves = self._wanted(accelerator), model.facts.types.halves
        if wanted == "int8" or model.facts.types.quantised:
            return "int8"
        if model.on_cpu:
            return wanted
        if wanted == "fp32":
            return "fp16" if "float16" in halves else "bf16" if halves else "fp32"
        return "bf16" if model.network.float_type == "bfloat16" else wanted

    def flags(self, model: Model) -> list[str]:
        """Return the flags of trtexec for the types of an engine; a strongly typed one has none.

        TensorRT 8.6 and 10 refuse a network with numbers of a type whose flag is not set
        (NVIDIA/TensorRT issues 1823 and 4021).
        """
        if self.strongly_typed:
            return []
        precision, halves = self.precision(model), model.facts.types.halves
        # A layer without ranges stays in FP16: on a DLA nothing else is legal, on Tensor Cores
        # FP32 would be slower.
        fp16 = "float16" in halves or precision == "fp16"
        fp16 |= precision == "int8" and model.network.float_type != "bfloat16"
        wanted = {
            "--int8": precision == "int8",
            "--fp16": fp16,
            "--bf16": "bfloat16" in halves,
        }
        return [flag for flag, is_needed in wanted.items() if is_needed]

    def typed_by_file(self, model: Model) -> bool:
        """Return True if the file as it is has the precision of the engine.

        A strongly typed TensorRT takes such a file without a conversion.
        """
        if model.facts.types.quantised or model.accelerator.kind is Kind.CUDA_CORES:
            return True
        return (
            self.precision(model) != "int8" and model.network.float_type in model.facts.types.halves
        )

    def needs_ranges(self, model: Model) -> bool:
        """Return True if a model computes in INT8 and its file has no INT8 ranges inside."""
        return self.precision(model) == "int8" and not model.facts.types.quantised

    def has_ranges(self, model: Model) -> bool:
        """Return True unless a model computes in INT8 with made-up ranges."""
        given = self.calibration_of(model.position) and not model.on_cpu
        return not self.needs_ranges(model) or bool(given) or model.name in self.calibrated

    def _wanted(self, accelerator: Accelerator) -> str:
        if accelerator.kind is Kind.DLA:
            return self.dla_precision
        if accelerator.kind is Kind.TENSOR_CORES:
            return self.tensor_precision
        return accelerator.precision

    def calibration_of(self, tenant: int) -> Path | None:
        """Return the source of a tenant's INT8 ranges."""
        return self.calibration[tenant] if self.calibration else None


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
