"""What is asked of a build: where an engine will run, at which precision and batch, and how hard the builder tries."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from envs.errors import OptionError, require_positive

#: Precisions by place. A DLA has no FP32, and `cuda` is FP32 by definition: no TensorRT can be asked for FP16 on CUDA cores.
PRECISIONS = {"cuda": ("fp32",), "tensor": ("fp16", "int8"), "dla": ("int8", "fp16")}


@dataclass
class BuildOptions:
    """How engines are built.

    Attributes:
        tensor_precision: of `tensor`: fp16 or int8.
        dla_precision: of `dla0` and `dla1`: int8 or fp16, which is several times slower there.
        dla_io: `native` hands the DLA its own formats, so that no kernel on the GPU reformats; `linear` FP32, which costs such kernels.
        level: the builder's optimisation level, 0 to 5.
        workspace_mib: scratch memory that a kernel may use.
        samples: random samples that INT8 ranges come from.
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
            "tensor_precision": PRECISIONS["tensor"],
            "dla_precision": PRECISIONS["dla"],
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
        place: `cuda`, `tensor` or `dla`. Both cores run the same plan: the core is chosen when it is loaded (NvInferRuntime.h, IRuntime::setDLACore).
        precision: `fp32`, `fp16` or `int8`.
        batch: the largest batch it runs; the only one where `static`.
        static: whether it runs full batches alone, as every DLA engine does.
        native_io: whether inputs and outputs are in the DLA's own type and formats.
    """

    place: str
    precision: str
    batch: int
    static: bool
    native_io: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS[self.place]:
            raise OptionError(
                f"{self.place} cannot run {self.precision}: choose from {', '.join(PRECISIONS[self.place])}"
            )

    @property
    def on_dla(self) -> bool:
        return self.place == "dla"


def place_of(accelerator: str) -> str:
    """`dla` for `dla0` and `dla1`, the others as they are called; OptionError for what TensorRT does not drive."""
    place = "dla" if accelerator in ("dla0", "dla1") else accelerator
    if place not in PRECISIONS:
        raise OptionError(
            f"TensorRT drives no accelerator {accelerator!r}: choose from cuda, tensor, dla0, dla1"
        )
    return place


def spec_of(accelerator: str, batch: int, options: BuildOptions, static: bool) -> EngineSpec:
    """The engine that serves this accelerator at this batch; `static` asks for one that runs full batches alone."""
    place = place_of(accelerator)
    precision = {"cuda": "fp32", "tensor": options.tensor_precision, "dla": options.dla_precision}[
        place
    ]
    return EngineSpec(
        place,
        precision,
        batch,
        static or place == "dla",
        place == "dla" and options.dla_io == "native",
    )


@dataclass(frozen=True)
class BuildHost:
    """What a plan is bound to: it runs nowhere else.

    Attributes:
        tensorrt: version, with the flavour in front where it is not TensorRT itself.
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
        return asdict(self)

    def describe(self) -> str:
        return f"{self.gpu} ({self.sm} SM, power mode {self.power_mode}, TensorRT {self.tensorrt})"


def identity(
    network_sha256: str, spec: EngineSpec, host: BuildHost, options: BuildOptions
) -> dict[str, Any]:
    """All that an engine depends on, ready for JSON: two engines with the same identity are interchangeable."""
    how = {
        "level": options.level,
        "workspace_mib": options.workspace_mib,
        "samples": options.samples if spec.precision == "int8" else 0,
    }
    return {
        "network": network_sha256,
        "engine": asdict(spec),
        "host": host.to_dict(),
        "options": how,
    }


def canonical(data: dict[str, Any]) -> bytes:
    """JSON with one spelling."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
