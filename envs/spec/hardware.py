"""The hardware of a device in plain numbers: a recording of it says what it was made on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Hardware:
    """A GPU and the processor beside it, as the driver and the kernel tell them.

    Attributes:
        gpu: name of the GPU.
        capability: its compute capability, such as `8.7`.
        sm: multiprocessors that are on; on a Jetson this follows the power mode.
        integrated: whether the GPU shares the memory of the processor.
        memory_mib: all memory of the GPU; on a Jetson that of the module.
        clock_mhz: highest clock of the GPU in the present power mode.
        max_clock_mhz: highest clock of the GPU in any power mode.
        bandwidth_gb_s: of the GPU's memory; NaN on a Jetson, whose driver gives other numbers.
        l2_mib: L2 cache of the GPU.
        cpu_cores: processor cores that are on.
        cpu_mhz: highest clock of the processor cores in the present power mode.
        dla_cores: DLA cores that TensorRT can use.

    Numbers that nobody tells are NaN.
    """

    gpu: str
    capability: str
    sm: int
    integrated: bool
    memory_mib: float
    clock_mhz: float = math.nan
    max_clock_mhz: float = math.nan
    bandwidth_gb_s: float = math.nan
    l2_mib: float = math.nan
    cpu_cores: int = 1
    cpu_mhz: float = math.nan
    dla_cores: int = 0

    @property
    def generation(self) -> tuple[int, int]:
        """Return the compute capability as two numbers."""
        major, minor = self.capability.split(".")
        return int(major), int(minor)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers that are known, ready for JSON; `from_dict` reads them."""
        return {key: value for key, value in asdict(self).items() if value == value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Hardware:
        """Return the hardware that `to_dict` wrote.

        Raises:
            ValueError, TypeError: the data is something else.
        """
        found = cls(**data)
        numbers = {field.name for field in fields(cls) if field.type in ("int", "float")}
        for key, value in data.items():
            if key in numbers:
                good = type(value) in (int, float) and 0 <= value < math.inf
            else:
                good = type(value) is (bool if key == "integrated" else str)
            if not good:
                raise ValueError(f"{key} of the hardware is {value!r}")
        if not found.gpu.isprintable():
            raise ValueError("the name of the GPU is not printable text")
        _ = found.generation
        return found


def lasting(space: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a space without what may differ at the next start.

    That is the memory that is free, and clocks that are told beside the power mode.

    Args:
        space: as `ConfigurationSpace.to_dict` wrote it.
    """
    passing = ("memory_mib", "hardware")
    device = {key: value for key, value in space["device"].items() if key not in passing}
    return space | {"device": device}
