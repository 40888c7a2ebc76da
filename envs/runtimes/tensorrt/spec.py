"""Build specifications: accelerator, precision and batch, and how hard the builder tries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from envs.errors import OptionError, require_positive
from envs.runtimes.tensorrt.part_specs import PartSpec, part_specs
from envs.spec import Accelerator, Kind, Network

#: Precisions by the kind of accelerator. A DLA has no FP32 and no BF16. CUDA cores mean FP32:
#: TensorRT has no option for FP16 on CUDA cores.
PRECISIONS = {
    Kind.CUDA_CORES: ("fp32",),
    Kind.TENSOR_CORES: ("fp16", "bf16", "int8"),
    Kind.DLA: ("int8", "fp16"),
}

#: Precisions by the type of a file that is not FP32.
HALVES = {"float16": "fp16", "bfloat16": "bf16"}

#: How networks on a mapping are built, see `BuildOptions`.
ONE, PARTS = "one", "parts"

#: The names of these kinds in messages.
LABELS = {Kind.CUDA_CORES: "cuda", Kind.TENSOR_CORES: "tensor", Kind.DLA: "dla"}


@dataclass
class BuildOptions:
    """Options of building engines.

    Attributes:
        dla_io: `native` gives the DLA inputs in its own formats, so that no kernel on the GPU
            reformats them; `linear` gives FP32, which costs such kernels.
        level: the builder's optimisation level, 0 to 5.
        workspace_mib: scratch memory that a kernel may use.
        samples: random samples that INT8 ranges are measured on where nobody gave any.
        mappings: `one` builds a network on a mapping as one engine, with a device for each layer;
            `parts` builds an engine for each part, whose results stay on the device.
        limit_s: the longest that one build may take. A DLA's compiler may need many minutes for a
            large network; one that needs more than this probably hangs.
    """

    dla_io: str = "native"
    level: int = 3
    workspace_mib: int = 1024
    samples: int = 4
    limit_s: float = 1800.0
    mappings: str = ONE

    def __post_init__(self) -> None:
        require_positive("tensorrt", self, "workspace_mib", "samples", "limit_s")
        if self.dla_io not in ("native", "linear"):
            raise OptionError(f"tensorrt.dla_io={self.dla_io} must be one of native, linear")
        if self.mappings not in (ONE, PARTS):
            raise OptionError(f"tensorrt.mappings={self.mappings} must be one of {ONE}, {PARTS}")
        if not 0 <= self.level <= 5:
            raise OptionError(f"tensorrt.level={self.level} must lie in 0..5")


@dataclass(frozen=True)
class EngineSpec:
    """One engine.

    Attributes:
        kind: of the accelerator. Both DLA cores run the same plan: the core is chosen when the
            plan is loaded (NvInferRuntime.h, IRuntime::setDLACore).
        precision: `fp32`, `fp16`, `bf16` or `int8`.
        batch: the largest batch that it runs; the only one if `static`.
        static: whether it runs full batches only, as every DLA engine does.
        native_io: whether inputs and outputs are in the DLA's own type and formats.
        own_types: whether the file has these types already: it is quantised, FP16 or BF16, so that
            nothing is calibrated and no type is changed unless a DLA needs it.
        profiles: the largest batch of each of its optimisation profiles, ascending; empty if it has
            one profile at most. All of them are one engine, whose weights are there once.
        parts: of a mapping, whose layers are on several accelerators; none of a whole network on
            one. Its kind is then DLA if a part is on a DLA, and its precision the least exact one.
    """

    kind: Kind
    precision: str
    batch: int
    static: bool
    native_io: bool = False
    own_types: bool = False
    profiles: tuple[int, ...] = ()
    parts: tuple[PartSpec, ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS[self.kind]:
            raise OptionError(
                f"{self.label} cannot run {self.precision}: "
                f"choose from {', '.join(PRECISIONS[self.kind])}"
            )

    @property
    def on_dla(self) -> bool:
        """Return True if it runs on a DLA."""
        return self.kind is Kind.DLA

    @property
    def has_fp32_part(self) -> bool:
        """Return True if a part of a mapping computes in FP32."""
        return any(each.precision == "fp32" for each in self.parts)

    @property
    def calibrated(self) -> bool:
        """Return True if its ranges come from samples."""
        return self.precision == "int8" and not self.own_types

    @property
    def profile(self) -> int:
        """Return the index of the optimisation profile that runs `batch`."""
        return sum(size < self.batch for size in self.profiles)

    @property
    def built(self) -> EngineSpec:
        """Return the specification of the whole engine: with profiles, its batch is the largest."""
        return replace(self, batch=self.profiles[-1]) if self.profiles else self

    @property
    def batches(self) -> str:
        """Return the batch sizes that it was built for, in messages."""
        sizes = ", ".join(map(str, self.profiles))
        return f"batches {sizes}" if self.profiles else f"batch {self.batch}"

    @property
    def label(self) -> str:
        """Return the name of its accelerator in messages, or of the kinds of a mapping's parts."""
        if self.parts:
            return " and ".join(LABELS[each.kind] for each in self.parts)
        return LABELS[self.kind]


def spec_of(
    accelerator: Accelerator,
    network: Network,
    batch: int,
    options: BuildOptions,
    static: bool,
    batches: Sequence[int] = (),
    parts: Sequence[Accelerator] = (),
) -> EngineSpec:
    """Return the engine that serves a network on an accelerator at a batch size.

    It has the precision of the accelerator, unless the file has types of its own: a quantised file
    is INT8 on Tensor Cores and on a DLA, and a BF16 file is BF16 on Tensor Cores.

    Args:
        accelerator: on the GPU, or a DLA.
        network: the network.
        batch: the largest batch.
        options: the formats of inputs and outputs of a DLA.
        static: asks for an engine that runs full batches only.
        batches: every size that will be wanted here; an engine that is not static has a profile for
            each.
        parts: accelerators of the parts of a mapping.

    Raises:
        OptionError: TensorRT does not drive this accelerator.
    """
    kind, precision = accelerator.kind, accelerator.precision
    mapping = accelerator.mapping
    if mapping is not None and kind is Kind.CUDA_CORES and precision != "fp32":
        kind = Kind.TENSOR_CORES
    if kind not in PRECISIONS:
        raise OptionError(
            f"TensorRT drives no accelerator {accelerator.name!r}: "
            "choose from cuda, tensor, dla0, dla1"
        )
    on_dla, own = kind is Kind.DLA, False
    if kind is not Kind.CUDA_CORES and network.quantised:
        precision, own = "int8", True
    elif precision == "fp16" and network.float_type in HALVES:
        precision = precision if on_dla else HALVES[network.float_type]
        own = HALVES[network.float_type] == precision
    # The first and the last layer of a mapping may be on the GPU, which has formats of its own.
    native = on_dla and options.dla_io == "native" and mapping is None
    static = static or on_dla
    sizes = (
        ()
        if static
        else tuple(sorted({batch, *batches} if batch > max(batches, default=0) else set(batches)))
    )
    profiles = sizes if len(sizes) > 1 else ()
    divided = () if mapping is None else part_specs(mapping, parts)
    return EngineSpec(kind, precision, batch, static, native, own, profiles, divided)


@dataclass(frozen=True)
class BuildHost:
    """The computer that a plan is bound to: it runs nowhere else.

    Attributes:
        tensorrt: version of TensorRT.
        gpu: name of the GPU.
        capability: its compute capability, such as `8.7`.
        sm: multiprocessors that are on. On a Jetson this follows the power mode.
        power_mode: the power mode in which tactics were timed, or the highest clock that it allows;
            `unknown` where there is neither.
        l4t: release of Jetson Linux, which sets clocks; empty on any other computer.
        dla_compiler: a digest of the library that compiles a DLA's loadables; empty without one.
        cuda_driver: version of CUDA that the driver is made for, such as 12060.
    """

    tensorrt: str
    gpu: str
    capability: str
    sm: int
    power_mode: str
    l4t: str = ""
    dla_compiler: str = ""
    cuda_driver: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    def followed_by(self, after: BuildHost) -> BuildHost:
        """Return the computer of a plan whose build began on this one and ended on `after`."""
        if after == self:
            return self
        return replace(self, power_mode=f"{self.power_mode}, then {after.power_mode}")


def identity(
    network_sha256: str,
    spec: EngineSpec,
    host: BuildHost,
    options: BuildOptions,
    calibration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything that an engine depends on, ready for JSON.

    Two engines with the same identity are interchangeable.

    Args:
        network_sha256: of the file.
        spec: the specification of the engine.
        host: the computer.
        options: how hard the builder tries.
        calibration: everything that INT8 ranges depend on, the samples among it; it matters to an
            engine whose ranges come from samples.
    """
    engine = asdict(spec.built) | {"kind": spec.kind.value, "profiles": list(spec.profiles)}
    del engine["parts"]
    if spec.parts:
        engine["parts"] = [[each.kind.value, each.precision, each.stop] for each in spec.parts]
    return {
        "network": network_sha256,
        "engine": engine,
        "host": host.to_dict(),
        "options": {"level": options.level, "workspace_mib": options.workspace_mib},
        "calibration": calibration if spec.calibrated else None,
    }


def without_mode(identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of an engine without the power mode in which it was built."""
    host = identity.get("host")
    if not isinstance(host, dict):
        return identity
    left = {name: value for name, value in host.items() if name != "power_mode"}
    return {**identity, "host": left}


def canonical(data: dict[str, Any]) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
