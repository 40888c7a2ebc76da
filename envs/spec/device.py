"""Devices: a module (or a plain computer) in a power mode, and the accelerators it has."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from envs.errors import OptionError
from envs.files import check_fields
from envs.spec.hardware import Hardware


class Kind(str, Enum):
    """The sort of hardware of an accelerator."""

    CUDA_CORES = "cuda_cores"
    TENSOR_CORES = "tensor_cores"
    DLA = "dla"
    CPU = "cpu"
    EDGE_TPU = "edge_tpu"


#: Precisions by the bytes of a number.
PRECISIONS = {4: "fp32", 2: "fp16", 1: "int8"}

#: Bytes of a number in the engines that can be built for a kind of accelerator besides its own. A
#: DLA has no FP32; TensorRT has no option for FP16 on CUDA cores.
CHOICES: dict[Kind, tuple[int, ...]] = {Kind.TENSOR_CORES: (1,), Kind.DLA: (2,)}


#: Joins the name of an accelerator and the number of segments, as in `tensor_in_4`.
IN = "_in_"


@dataclass(frozen=True)
class Accelerator:
    """Hardware on which an instance can run, at one precision.

    Attributes:
        name: `cuda`, `tensor`, `dla0`, `dla1`, on a processor `cpu_fp32`, `cpu_int8`, on Edge TPUs
            `edgetpu0` to `edgetpu3`.
        kind: the sort of hardware.
        resource: the hardware it draws on; accelerators with the same resource share it.
        weight_bytes: bytes of one weight or activation here (4 for FP32, 1 for INT8).
        max_loadables: loadables it can hold at once over all tenants, see
            `ConfigurationSpace.blocks`; None for no such limit.
        max_instances, max_batch: limits for one tenant here, whatever the space allows elsewhere;
            None for no limit of its own.
        segments: in how many parts, one after the other, a network runs here. Between two parts it
            gives way to critical tenants, so that more than one part is for best effort alone.
    """

    name: str
    kind: Kind
    resource: str
    weight_bytes: int
    max_loadables: int | None = None
    max_instances: int | None = None
    max_batch: int | None = None
    segments: int = 1

    @property
    def precision(self) -> str:
        """Return `fp32`, `fp16` or `int8`."""
        return PRECISIONS[self.weight_bytes]

    @property
    def whole(self) -> str:
        """Return the name of the same accelerator where a network runs in one piece."""
        return self.name.partition(IN)[0]

    @property
    def on_gpu(self) -> bool:
        """Return True if it draws on the GPU."""
        return self.kind in (Kind.CUDA_CORES, Kind.TENSOR_CORES)

    @property
    def start_rank(self) -> int:
        """Return its place in the order in which a start tries accelerators.

        That is GPU, processor, DLA, Edge TPU: a DLA is the likeliest to refuse, and no runtime
        opens an Edge TPU.
        """
        if self.on_gpu:
            return 0
        return {Kind.CPU: 1, Kind.DLA: 2, Kind.EDGE_TPU: 3}[self.kind]

    @property
    def needs_engine(self) -> bool:
        """Return True if an engine must be built for it before it serves."""
        return self.on_gpu or self.kind is Kind.DLA


#: Every accelerator by name. A DLA core holds 16 loadables at once (NVIDIA, TensorRT developer
#: guide, "Working with DLA"). It runs them one after another and gains nothing from larger batches
#: (latency is proportional to the batch from 1 to 16, NVIDIA cuDLA-samples), so three instances
#: and a batch of eight are enough to keep it busy. A model for an Edge TPU is compiled for one
#: sample (Coral, "TensorFlow models on the Edge TPU": tensor sizes are constant at compile time).
ACCELERATORS: dict[str, Accelerator] = {
    accelerator.name: accelerator
    for accelerator in (
        Accelerator("cuda", Kind.CUDA_CORES, "gpu", 4),
        Accelerator("tensor", Kind.TENSOR_CORES, "gpu", 2),
        Accelerator("dla0", Kind.DLA, "dla0", 1, max_loadables=16, max_instances=3, max_batch=8),
        Accelerator("dla1", Kind.DLA, "dla1", 1, max_loadables=16, max_instances=3, max_batch=8),
        Accelerator("cpu_fp32", Kind.CPU, "cpu", 4),
        Accelerator("cpu_int8", Kind.CPU, "cpu", 1),
        *(
            Accelerator(
                f"edgetpu{n}", Kind.EDGE_TPU, f"edgetpu{n}", 1, max_instances=2, max_batch=1
            )
            for n in range(4)
        ),
    )
}


def accelerator(name: str) -> Accelerator:
    """Return the accelerator called `name`; raise OptionError where there is none.

    `tensor_in_4` is `tensor` where a network runs in 4 segments, see `Accelerator.segments`.
    """
    base, _, segments = name.partition(IN)
    if base not in ACCELERATORS or (segments and not (segments.isdigit() and int(segments) > 1)):
        raise OptionError(f"unknown accelerator {name!r}: choose from {', '.join(ACCELERATORS)}")
    found = ACCELERATORS[base]
    return replace(found, name=name, segments=int(segments)) if segments else found


def check_precisions(allowed: Sequence[str]) -> None:
    """Raise OptionError if these are not some of the names of precisions, each once."""
    known = PRECISIONS.values()
    if not allowed or not set(allowed) <= set(known) or len(set(allowed)) < len(allowed):
        raise OptionError(
            f"precisions={list(allowed)} must name some of {', '.join(known)}, each once"
        )


@dataclass(frozen=True)
class DeviceSpec:
    """A device: the hardware that instances share.

    Attributes:
        name: the module, or the processor of a plain computer.
        accelerators: [A], in a fixed order that every array follows.
        cores: processor cores that this process may use.
        memory_mib: memory that instances may fill.
        power_mode: the power mode it was described in.
        hardware: the GPU and the processor in numbers; None for a plain computer, for a board of
            the catalogue, and in recordings of earlier versions.
    """

    name: str
    accelerators: tuple[Accelerator, ...]
    cores: int
    memory_mib: float
    power_mode: str = "default"
    hardware: Hardware | None = None

    @property
    def plain(self) -> bool:
        """Return True for a plain computer, which has neither a GPU nor a DLA.

        A board whose GPU and DLAs are no choice looks like one: look for its name first.
        """
        return not any(each.on_gpu or each.kind is Kind.DLA for each in self.accelerators)

    @property
    def accelerator_names(self) -> tuple[str, ...]:
        """Return the names of the accelerators, [A]."""
        return tuple(each.name for each in self.accelerators)

    def with_chosen(self, chosen: Mapping[Kind, str]) -> DeviceSpec:
        """Return the device with another precision for some kinds of accelerators.

        Raises:
            OptionError: a kind cannot compute at that precision.
        """
        names = {Kind.DLA: "dla_precision", Kind.TENSOR_CORES: "tensor_precision"}
        for kind, wanted in chosen.items():
            own = {each.weight_bytes for each in ACCELERATORS.values() if each.kind is kind}
            known = [PRECISIONS[width] for width in sorted({*own, *CHOICES.get(kind, ())})]
            if wanted not in known:
                raise OptionError(
                    f"{names.get(kind, kind.value)}={wanted} must be one of {', '.join(known)}"
                )
        widths = {name: width for width, name in PRECISIONS.items()}
        accelerators = tuple(
            replace(each, weight_bytes=widths[chosen[each.kind]]) if each.kind in chosen else each
            for each in self.accelerators
        )
        return replace(self, accelerators=accelerators)

    def with_precisions(self, allowed: Sequence[str]) -> DeviceSpec:
        """Return the device with the accelerators that can compute at one of these precisions.

        Each keeps its own precision where that is allowed, and takes the first other one that it
        can compute at and that is allowed.

        Raises:
            OptionError: a precision is unknown, or no accelerator is left.
        """
        check_precisions(allowed)
        kept = []
        for each in self.accelerators:
            possible = (each.weight_bytes, *CHOICES.get(each.kind, ()))
            fits = [width for width in possible if PRECISIONS[width] in allowed]
            kept += [replace(each, weight_bytes=fits[0])] if fits else []
        if not kept:
            raise OptionError(
                f"precisions={list(allowed)} leaves no accelerator of {self.name}:"
                f" {', '.join(f'{each.name} is {each.precision}' for each in self.accelerators)}"
            )
        return replace(self, accelerators=tuple(kept))

    def with_segments(self, counts: Sequence[int]) -> DeviceSpec:
        """Return the device with each accelerator once more for each number of segments.

        See `Accelerator.segments`; numbers above 1, such as (4, 16).
        """
        cut = tuple(
            replace(each, name=f"{each.name}{IN}{count}", segments=count)
            for count in counts
            for each in self.accelerators
            if each.segments == 1
        )
        return replace(self, accelerators=(*self.accelerators, *cut))

    def to_dict(self) -> dict[str, Any]:
        """Return the device as plain data that JSON can hold; `from_dict` reads it."""
        data = asdict(self) | {"accelerators": list(self.accelerator_names)}
        del data["hardware"]
        if self.hardware is not None:
            data["hardware"] = self.hardware.to_dict()
        chosen = {
            each.name: each.precision
            for each in self.accelerators
            if each.weight_bytes != accelerator(each.name).weight_bytes
        }
        return data | ({"precisions": chosen} if chosen else {})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DeviceSpec:
        """Return the device that `to_dict` wrote.

        Raises:
            ValueError, TypeError, KeyError, OptionError: the data is something else.
        """
        widths = {name: width for width, name in PRECISIONS.items()}
        chosen = data.get("precisions", {})
        accelerators = tuple(
            replace(accelerator(name), weight_bytes=widths[chosen[name]])
            if name in chosen
            else accelerator(name)
            for name in data["accelerators"]
        )
        fields = {key: value for key, value in data.items() if key != "precisions"}
        if "hardware" in fields:
            fields["hardware"] = Hardware.from_dict(fields["hardware"])
        device = cls(**fields | {"accelerators": accelerators})
        check_fields(device)
        if not device.accelerators or len(set(device.accelerators)) < len(device.accelerators):
            raise ValueError("accelerators must be at least one, and each once")
        return device


def local_computer(
    accelerators: tuple[str, ...] = ("cpu_fp32", "cpu_int8"), cores: int | None = None
) -> DeviceSpec:
    """Return this computer as a device; instances may fill nine tenths of its memory.

    Args:
        accelerators: which of `cpu_fp32` and `cpu_int8` may be used.
        cores: how many processor cores may be used; all that this process has where not given.

    Raises:
        OptionError: an accelerator is unknown, or there are fewer cores.
    """
    usable = available_cores()
    if cores is not None and not 1 <= cores <= usable:
        raise OptionError(f"cores={cores} must lie in 1..{usable}, the cores this process may use")
    if not accelerators or len(set(accelerators)) != len(accelerators):
        raise OptionError(
            f"accelerators={list(accelerators)} must name at least one accelerator, and each once"
        )
    wrong = [name for name in accelerators if accelerator(name).kind is not Kind.CPU]
    if wrong:
        raise OptionError(
            f"a plain computer has no accelerator {wrong[0]!r}: choose from cpu_fp32, cpu_int8"
        )
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return DeviceSpec(
        processor_name(),
        tuple(accelerator(name) for name in accelerators),
        cores or usable,
        round(0.9 * memory_mib),
    )


def available_cores() -> int:
    """Return how many cores this process may run on: its affinity if the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Return the processor's marketing name from /proc/cpuinfo, or else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} x{available_cores()}"
