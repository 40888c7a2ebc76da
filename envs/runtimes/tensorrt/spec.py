"""Build specifications: accelerator, precision and batch, and how hard the builder tries."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from envs.errors import OptionError, require_positive
from envs.spec import Accelerator, Kind

#: Precisions by the kind of accelerator. A DLA has no FP32. CUDA cores mean FP32: TensorRT has no
#: option for FP16 on CUDA cores.
PRECISIONS = {
    Kind.CUDA_CORES: ("fp32",),
    Kind.TENSOR_CORES: ("fp16", "int8"),
    Kind.DLA: ("int8", "fp16"),
}

#: The names of these kinds in messages.
LABELS = {Kind.CUDA_CORES: "cuda", Kind.TENSOR_CORES: "tensor", Kind.DLA: "dla"}


@dataclass
class BuildOptions:
    """Options of building engines.

    Attributes:
        tensor_precision: of Tensor Cores: fp16 or int8.
        dla_precision: of DLAs: int8, or fp16, which is several times slower there.
        dla_io: `native` gives the DLA inputs in its own formats, so that no kernel on the GPU
            reformats them; `linear` gives FP32, which costs such kernels.
        level: the builder's optimisation level, 0 to 5.
        workspace_mib: scratch memory that a kernel may use.
        samples: random samples that INT8 ranges are measured on.
    """

    tensor_precision: str = "fp16"
    dla_precision: str = "int8"
    dla_io: str = "native"
    level: int = 3
    workspace_mib: int = 1024
    samples: int = 4

    def __post_init__(self) -> None:
        require_positive("tensorrt", self, "workspace_mib", "samples")
        allowed = {
            "tensor_precision": PRECISIONS[Kind.TENSOR_CORES],
            "dla_precision": PRECISIONS[Kind.DLA],
            "dla_io": ("native", "linear"),
        }
        for key, values in allowed.items():
            if getattr(self, key) not in values:
                raise OptionError(
                    f"tensorrt.{key}={getattr(self, key)} must be one of {', '.join(values)}"
                )
        if not 0 <= self.level <= 5:
            raise OptionError(f"tensorrt.level={self.level} must lie in 0..5")


@dataclass(frozen=True)
class EngineSpec:
    """One engine.

    Attributes:
        kind: of the accelerator. Both DLA cores run the same plan: the core is chosen when the
            plan is loaded (NvInferRuntime.h, IRuntime::setDLACore).
        precision: `fp32`, `fp16` or `int8`.
        batch: the largest batch that it runs; the only one if `static`.
        static: whether it runs full batches only, as every DLA engine does.
        native_io: whether inputs and outputs are in the DLA's own type and formats.
    """

    kind: Kind
    precision: str
    batch: int
    static: bool
    native_io: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS[self.kind]:
            raise OptionError(
                f"{self.label} cannot run {self.precision}: "
                f"choose from {', '.join(PRECISIONS[self.kind])}"
            )

    @property
    def on_dla(self) -> bool:
        """True if it runs on a DLA."""
        return self.kind is Kind.DLA

    @property
    def label(self) -> str:
        """The name of its accelerator in messages."""
        return LABELS[self.kind]


def spec_of(
    accelerator: Accelerator, batch: int, options: BuildOptions, static: bool
) -> EngineSpec:
    """Return the engine that serves an accelerator at a batch size.

    Args:
        accelerator: on the GPU, or a DLA.
        batch: the largest batch.
        options: choose the precision.
        static: asks for an engine that runs full batches only.

    Raises:
        OptionError: TensorRT does not drive this accelerator.
    """
    kind = accelerator.kind
    if kind not in PRECISIONS:
        raise OptionError(
            f"TensorRT drives no accelerator {accelerator.name!r}: "
            "choose from cuda, tensor, dla0, dla1"
        )
    on_dla = kind is Kind.DLA
    precision = {
        Kind.CUDA_CORES: "fp32",
        Kind.TENSOR_CORES: options.tensor_precision,
        Kind.DLA: options.dla_precision,
    }[kind]
    return EngineSpec(
        kind, precision, batch, static or on_dla, on_dla and options.dla_io == "native"
    )


@dataclass(frozen=True)
class BuildHost:
    """The computer that a plan is bound to: it runs nowhere else.

    Attributes:
        tensorrt: version of TensorRT.
        gpu: name of the GPU.
        capability: its compute capability, such as `8.7`.
        sm: multiprocessors that are on. On a Jetson this follows the power mode.
        power_mode: the power mode in which tactics were timed; `unknown` where there is none.
    """

    tensorrt: str
    gpu: str
    capability: str
    sm: int
    power_mode: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def identity(
    network_sha256: str, spec: EngineSpec, host: BuildHost, options: BuildOptions
) -> dict[str, Any]:
    """Return everything that an engine depends on, ready for JSON.

    Two engines with the same identity are interchangeable.
    """
    return {
        "network": network_sha256,
        "engine": asdict(spec) | {"kind": spec.kind.value},
        "host": host.to_dict(),
        "options": {
            "level": options.level,
            "workspace_mib": options.workspace_mib,
            "samples": options.samples if spec.precision == "int8" else 0,
        },
    }


def canonical(data: dict[str, Any]) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
