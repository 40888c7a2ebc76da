"""The positions of accelerators in the arrays of the model.

The first four are the same on every device: two that share the GPU (or the cores of a plain
computer), FP32 first, then two DLA cores. Positions that a device lacks stay empty, so that boards
of all kinds stand side by side in one batch. Of a plain computer that has two engines for one
precision the second has a position behind these. Each mapping of a device follows with a position
of its own. Where the processor's cores of a board or Edge TPUs may serve too, they are the last:
two positions for the cores, then one for each Edge TPU.
"""

from collections.abc import Sequence
from typing import NamedTuple

from envs.errors import OptionError
from envs.simulator.machine import Machine
from envs.spec import Accelerator, DeviceSpec, Kind

#: X, the number of positions of most devices, and which of them draw on the GPU (or on the cores of
#: a plain computer) and on the DLA.
POSITIONS, GPU, DLA = 4, slice(0, 2), slice(2, 4)

#: The positions of the cores beside a GPU, and of Edge TPUs, on a device without mappings.
CORES, EDGE_TPUS = slice(4, 6), slice(6, None)

#: The first position of each resource.
_FIRST = {"gpu": 0, "cpu": 0, "dla0": 2, "dla1": 3}


class Layout(NamedTuple):
    """The positions of devices with accelerators behind the first four, and with mappings.

    Attributes:
        mapped: the number of both, 0 on most devices.
    """

    mapped: int = 0

    @property
    def mappings(self) -> slice:
        """Return the positions of second engines for a precision, then those of mappings."""
        return slice(POSITIONS, POSITIONS + self.mapped)

    @property
    def board(self) -> slice:
        """Return the positions that draw on the GPU and the DLAs, or on a plain computer."""
        return slice(0, POSITIONS + self.mapped)

    @property
    def cores(self) -> slice:
        """Return the positions of the cores beside a GPU."""
        return slice(CORES.start + self.mapped, CORES.stop + self.mapped)

    @property
    def edge_tpus(self) -> slice:
        """Return the positions of Edge TPUs."""
        return slice(EDGE_TPUS.start + self.mapped, None)


def position_of(accelerator: Accelerator, *, plain: bool = True) -> int:
    """Return the position of an accelerator where there are no mappings.

    On the GPU or the cores FP32 comes first.

    Args:
        accelerator: of the device; no mapping.
        plain: False where the cores are those of a board.
    """
    if accelerator.kind is Kind.EDGE_TPU:
        return EDGE_TPUS.start + int(accelerator.resource.removeprefix("edgetpu"))
    if accelerator.kind is Kind.CPU and not plain:
        return CORES.start + (accelerator.weight_bytes < 4)
    second = accelerator.kind is not Kind.DLA and accelerator.weight_bytes < 4
    return _FIRST[accelerator.resource] + second


def positions_of(accelerators: Sequence[Accelerator], machine: Machine) -> list[int | None]:
    """Return the position of each accelerator [A] of a device, None for one that has none.

    An accelerator in several segments has the position of the whole.
    """
    mapped = [each.name for each in behind_the_first(accelerators, machine)]
    found: list[int | None] = []
    for each in accelerators:
        if not is_modelled(each, machine):
            found.append(None)
        elif each.whole in mapped:
            found.append(POSITIONS + mapped.index(each.whole))
        else:
            at = position_of(each, plain=machine.plain)
            found.append(at if at < POSITIONS else at + len(mapped))
    return found


def mappings_of(accelerators: Sequence[Accelerator], machine: Machine) -> list[Accelerator]:
    """Return the mappings among the accelerators of a device."""
    return [
        each for each in accelerators if each.mapping is not None and is_modelled(each, machine)
    ]


def second_engines(accelerators: Sequence[Accelerator], machine: Machine) -> list[Accelerator]:
    """Return the accelerators of a plain computer whose precision another one before them has."""
    if not machine.plain:
        return []
    wholes = [each for each in accelerators if each.mapping is None and each.segments == 1]
    taken = [position_of(each) for each in wholes]
    return [each for at, each in enumerate(wholes) if taken[at] in taken[:at]]


def behind_the_first(accelerators: Sequence[Accelerator], machine: Machine) -> list[Accelerator]:
    """Return the accelerators behind the first four positions: second engines, then mappings."""
    return [*second_engines(accelerators, machine), *mappings_of(accelerators, machine)]


def is_modelled(accelerator: Accelerator, machine: Machine) -> bool:
    """Return True unless it is the processor of a board, and only the last resort there."""
    return machine.plain or machine.processor or accelerator.kind is not Kind.CPU


def position_count(accelerators: Sequence[Accelerator], machine: Machine) -> int:
    """Return X without mappings, the number of positions of a device."""
    used = [
        position_of(each, plain=machine.plain)
        for each in accelerators
        if is_modelled(each, machine) and each.mapping is None
    ]
    more = len(second_engines(accelerators, machine))
    return POSITIONS + more if max(used) < POSITIONS else max(CORES.stop, max(used) + 1)


def check_positions(device: DeviceSpec, machine: Machine) -> None:
    """Raise OptionError if two accelerators of a device have one position."""
    places = positions_of(device.accelerators, machine)
    used = [
        (place, each.segments)
        for place, each in zip(places, device.accelerators, strict=True)
        if place is not None
    ]
    if len(set(used)) < len(used):
        raise OptionError(
            f"{device.name} has two engines for one precision of its processor, which is modelled"
            " on plain computers only: name one of them"
        )
