"""Draw devices: boards of the catalogue, changed ones, and plain computers."""

from dataclasses import replace

import numpy as np

from envs.catalog.boards import board, power_mode
from envs.problems.draw_options import DrawOptions
from envs.simulator.machine import Machine, device_of, machine_of, plain_machine
from envs.spec import ACCELERATORS, DeviceSpec, Kind

#: A plain computer that is served live keeps this many MiB per core free for instances.
PLAIN_MIB = 24_000.0


def draw_board(options: DrawOptions, rng: np.random.Generator) -> tuple[Machine, DeviceSpec, str]:
    """Draw a board in a power mode, in some problems a changed one; returns a label as well."""
    names = options.board_choices()
    name = names[rng.integers(len(names))]
    stock = [mode for mode in board(name).power_modes if not mode.startswith("mlperf")]
    modes = options.modes or stock
    mode = modes[rng.integers(len(modes))]
    power_mode(board(name), mode)
    precision = "int8" if rng.random() < 0.7 else "fp16"
    native = bool(rng.random() < 0.7)
    machine = machine_of(name, mode, precision, "int8" if rng.random() < 0.8 else "fp16", native)
    device = device_of(name, mode)
    label = f"{name} {mode} {precision}"
    if rng.random() < options.changed_boards:
        gpu, memory, dla, idle = np.exp(0.3 * rng.standard_normal(4))
        machine = replace(
            machine,
            gpu_ghz=machine.gpu_ghz * gpu,
            gpu_max_ghz=machine.gpu_max_ghz * gpu,
            dram_byte_s=machine.dram_byte_s * memory,
            dla_ghz=machine.dla_ghz * dla,
            idle_w=tuple(watts * idle for watts in machine.idle_w),
        )
        label = f"like {label}"
        if rng.random() < 0.25:
            kept = tuple(each for each in device.accelerators if each.kind is not Kind.DLA)
            device = replace(device, accelerators=kept)
    return machine, device, label


def draw_plain(rng: np.random.Generator) -> tuple[Machine, DeviceSpec, str]:
    """Draw a plain computer; returns a label as well."""
    cores = int(rng.choice([1, 2, 4, 6, 8, 12, 16]))
    device = DeviceSpec(
        "a plain computer", (ACCELERATORS["cpu_fp32"], ACCELERATORS["cpu_int8"]), cores, PLAIN_MIB
    )
    return plain_machine(cores), device, f"plain computer with {cores} cores"
