"""The positions of accelerators in the arrays of the model.

The first four are the same on every device: two that share the GPU (or the cores of a plain
computer), FP32 first, then two DLA cores. Positions that a device lacks stay empty, so that boards
of all kinds stand side by side in one batch. Where the processor's cores of a board or Edge TPUs
may serve too, they follow: two positions for the cores, then one for each Edge TPU.
"""

from collections.abc import Sequence

from envs.simulator.machine import Machine
from envs.spec import Accelerator, Kind

#: X, the number of positions of most devices, and which of them draw on the GPU (or on the cores of
#: a plain computer) and on the DLA.
POSITIONS, GPU, DLA = 4, slice(0, 2), slice(2, 4)

#: The positions of the cores beside a GPU, and of Edge TPUs.
CORES, EDGE_TPUS = slice(4, 6), slice(6, None)

#: The first position of each resource.
_FIRST = {"gpu": 0, "cpu": 0, "dla0": 2, "dla1": 3}


def position_of(accelerator: Accelerator, *, plain: bool = True) -> int:
    """Return the position of an accelerator: on the GPU or the cores FP32 comes first.

    Args:
        accelerator: of the device.
        plain: False where the cores are those of a board.
    """
    if accelerator.kind is Kind.EDGE_TPU:
        return EDGE_TPUS.start + int(accelerator.resource.removeprefix("edgetpu"))
    if accelerator.kind is Kind.CPU and not plain:
        return CORES.start + (accelerator.weight_bytes < 4)
    second = accelerator.kind is not Kind.DLA and accelerator.weight_bytes < 4
    return _FIRST[accelerator.resource] + second


def is_modelled(accelerator: Accelerator, machine: Machine) -> bool:
    """Return True unless it is the processor of a board, and only the last resort there."""
    return machine.plain or machine.processor or accelerator.kind is not Kind.CPU


def position_count(accelerators: Sequence[Accelerator], machine: Machine) -> int:
    """Return X, the number of positions of a device."""
    used = [
        position_of(each, plain=machine.plain)
        for each in accelerators
        if is_modelled(each, machine)
    ]
    return POSITIONS if max(used) < POSITIONS else max(CORES.stop, max(used) + 1)
