"""Devices: a module (or a plain computer) in a power mode, and the accelerators it has."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from envs.errors import OptionError
from envs.files import check_fields
from envs.spec.accelerator import ACCELERATORS as ACCELERATORS
from envs.spec.accelerator import CHOICES, IN, PRECISIONS
from envs.spec.accelerator import Accelerator as Accelerator
from envs.spec.accelerator import Kind as Kind
from envs.spec.accelerator import accelerator as accelerator
from envs.spec.accelerator import check_precisions as check_precisions
from envs.spec.accelerator import mapped as mapped
from envs.spec.hardware import Hardware
from envs.spec.mapping import Mapping


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

    def with_chosen(self, chosen: Lookup[Kind, str]) -> DeviceSpec:
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
        wholes = [
            replace(each, weight_bytes=widths[chosen[each.kind]]) if each.kind in chosen else each
            for each in self._wholes
        ]
        return self._of(wholes)

    def with_precisions(self, allowed: Sequence[str]) -> DeviceSpec:
        """Return the device with the accelerators that can compute at one of these precisions.

        Each keeps its own precision where that is allowed, and takes the first other one that it
        can compute at and that is allowed.

        Raises:
            OptionError: a precision is unknown, or no accelerator is left.
        """
        check_precisions(allowed)
        kept = []
        for each in self._wholes:
            possible = (each.weight_bytes, *CHOICES.get(each.kind, ()))
            fits = [width for width in possible if PRECISIONS[width] in allowed]
            kept += [replace(each, weight_bytes=fits[0])] if fits else []
        if not kept:
            raise OptionError(
                f"precisions={list(allowed)} leaves no accelerator of {self.name}:"
                f" {', '.join(f'{each.name} is {each.precision}' for each in self.accelerators)}"
            )
        return self._of(kept)

    def with_segments(self, counts: Sequence[int]) -> DeviceSpec:
        """Return the device with each accelerator once more for each number of segments.

        See `Accelerator.segments`; numbers above 1, such as (4, 16).
        """
        cut = tuple(
            replace(each, name=f"{each.name}{IN}{count}", segments=count)
            for count in counts
            for each in self._wholes
            if each.segments == 1
        )
        return replace(self, accelerators=(*self.accelerators, *cut))

    def with_mappings(self, names: Sequence[str]) -> DeviceSpec:
        """Return the device with mappings such as `dla0_to_7_tensor` as further accelerators.

        Raises:
            OptionError: a name is no mapping, is there already, or has a part that the device
                lacks or that cannot be one instance with the others.
        """
        known = {each.name: each for each in self._wholes if each.segments == 1}
        added = [mapped(Mapping.parse(name), known) for name in names]
        found = (*self.accelerators, *added)
        again = [each.name for at, each in enumerate(added) if each in found[: at - len(added)]]
        whole = [each.name for each in added if each.name in known]
        if again or whole:
            raise OptionError(
                f"mappings={list(names)}: {(again or whole)[0]} is there already; name mappings"
                " with two parts or more, each once"
            )
        return replace(self, accelerators=found)

    def parts(self, used: Accelerator) -> tuple[Accelerator, ...]:
        """Return the accelerators of the parts of a mapping, in order; itself if it is none."""
        if used.mapping is None:
            return (used,)
        known = {each.name: each for each in self.accelerators}
        return tuple(known.get(name, ACCELERATORS[name]) for name in used.mapping.accelerators)

    @property
    def _wholes(self) -> tuple[Accelerator, ...]:
        return tuple(each for each in self.accelerators if each.mapping is None)

    def _of(self, wholes: Sequence[Accelerator]) -> DeviceSpec:
        """Return the device with other accelerators, and the mappings that these have parts for."""
        known = {each.name: each for each in wholes}
        mappings = [each.mapping for each in self.accelerators if each.mapping is not None]
        fitting = [each for each in mappings if known.keys() >= set(each.accelerators)]
        return replace(
            self, accelerators=(*wholes, *(mapped(mapping, known) for mapping in fitting))
        )

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
        accelerators: which of the processor's may be used.
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
            f"a plain computer has no accelerator {wrong[0]!r}: choose from cpu_fp32, cpu_int8,"
            " openvino_fp32, openvino_int8"
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
