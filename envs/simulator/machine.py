"""Devices as the model needs them: rates in one power mode, and how their engines are built."""

from __future__ import annotations

from dataclasses import dataclass, replace

from envs.catalog.boards import Board, PowerMode, board, power_mode
from envs.errors import OptionError
from envs.spec import DeviceSpec, accelerator

#: Memory that the operating system keeps [MiB]: 1 GiB of headroom, and the JetPack desktop. What
#: CUDA takes is counted with the instances (`CUDA_MIB` of `envs.spec.memory`).
RESERVED_MIB = 2048.0

#: GPU power grows with the square of the voltage. The stress maxima of the GPU rail of an AGX Orin
#: in its four power modes (NVIDIA developer forum, topic 323456) fit
#: leak + (1 - leak) x (clock / highest clock)^2 for the watts per SM and GHz.
VOLTAGE_LEAK = 0.447

PRECISION_BYTES = {"fp16": 2, "int8": 1}

#: FP32 rate of the core of a plain computer that `core_rate` is relative to [GMAC/s]: the nominal
#: value of `cpu_fp32_gmac_s`.
PLAIN_GMAC_S = 60.0

#: Clock of the processor of a plain computer [GHz].
PLAIN_CPU_GHZ = 3.0


@dataclass(frozen=True)
class Machine:
    """The rates of a device; 0 for hardware that it lacks.

    Attributes:
        architecture: which fitted parameters apply: `ampere`, `volta`, or `cpu` for a plain
            computer.
        mac_per_sm_cycle: FP32 on CUDA cores, FP16 and INT8 on Tensor Cores.
        idle_w: VDD_GPU_SOC, VDD_CPU_CV and VIN_SYS_5V0 with nothing running.
        max_power_w: of the module.
        tensor_bytes, dla_bytes: bytes of a number in an engine for Tensor Cores or a DLA
            (2: FP16, 1: INT8).
        dla_native: True if DLA engines read and write the DLA's own formats, so that no GPU kernel
            has to reformat.
        processor: True if instances may run on the cores beside the GPU.
        core_rate, core_int8_gain: FP32 rate of one core, and how much faster INT8 is, relative to
            those of the plain computer that the parameters are of.
    """

    architecture: str
    sm: int
    gpu_ghz: float
    gpu_max_ghz: float
    mac_per_sm_cycle: tuple[float, float, float]
    l2_bytes: float
    dram_byte_s: float
    dla_ghz: float
    dla_mac_per_cycle: float
    cpu_cores: int
    cpu_ghz: float
    idle_w: tuple[float, float, float]
    max_power_w: float
    tensor_bytes: int = 1
    dla_bytes: int = 1
    dla_native: bool = True
    processor: bool = False
    core_rate: float = 1.0
    core_int8_gain: float = 1.0

    def with_cores_as_accelerators(self) -> Machine:
        """Return the machine on whose cores instances may run beside the GPU."""
        return replace(self, processor=True)

    @property
    def plain(self) -> bool:
        """Return True for a plain computer, which has no GPU and no DLA."""
        return self.architecture == "cpu"

    def mac_s(self, width: int) -> float:
        """Return the GPU's peak multiply-accumulates per second with numbers of `width` bytes."""
        return self.sm * self.gpu_ghz * 1e9 * self.mac_per_sm_cycle[{4: 0, 2: 1, 1: 2}[width]]

    @property
    def dla_mac_s(self) -> float:
        """Return the peak multiply-accumulates per second of one DLA core."""
        return self.dla_ghz * 1e9 * self.dla_mac_per_cycle

    @property
    def gpu_power_scale(self) -> float:
        """Return SM x GHz x voltage squared, the latter relative to full clock."""
        share = self.gpu_ghz / self.gpu_max_ghz if self.gpu_max_ghz else 0.0
        return self.sm * self.gpu_ghz * (VOLTAGE_LEAK + (1 - VOLTAGE_LEAK) * share**2)


def machine_of(
    name: str,
    mode: str,
    precision: str = "int8",
    dla_precision: str = "int8",
    dla_native: bool = True,
) -> Machine:
    """Return the machine of a board of the catalogue in a power mode.

    Raises:
        OptionError: board, mode or precision is unknown; the message names the key.
    """
    check_widths(precision=precision, dla_precision=dla_precision)
    module = board(name)
    return _machine(
        module,
        power_mode(module, mode),
        PRECISION_BYTES[precision],
        PRECISION_BYTES[dla_precision],
        dla_native,
    )


def check_widths(**given: str) -> None:
    """Raise OptionError, naming the key, if an engine cannot have this precision."""
    for key, value in given.items():
        if value not in PRECISION_BYTES:
            raise OptionError(
                f"device.{key}={value!r} is unknown: choose from {', '.join(PRECISION_BYTES)}"
            )


def _machine(
    module: Board, mode: PowerMode, tensor_bytes: int, dla_bytes: int, dla_native: bool
) -> Machine:
    return Machine(
        architecture=module.gpu_architecture,
        sm=mode.sm,
        gpu_ghz=mode.gpu_mhz / 1e3,
        gpu_max_ghz=max(each.gpu_mhz for each in module.power_modes.values()) / 1e3,
        mac_per_sm_cycle=(
            module.cuda_mac_per_sm_cycle,
            module.tensor_fp16_mac_per_sm_cycle,
            module.tensor_int8_mac_per_sm_cycle,
        ),
        l2_bytes=module.l2_mib * 2**20,
        dram_byte_s=module.dram_gb_s * 1e9 * mode.emc_mhz / module.emc_max_mhz,
        dla_ghz=max(mode.dla_mhz, 1.0) / 1e3,
        dla_mac_per_cycle=module.dla_int8_mac_per_cycle
        if dla_bytes == 1
        else module.dla_fp16_mac_per_cycle,
        cpu_cores=mode.cpu_cores,
        cpu_ghz=mode.cpu_mhz / 1e3,
        idle_w=(
            module.idle_w["VDD_GPU_SOC"],
            module.idle_w["VDD_CPU_CV"],
            module.idle_w["VIN_SYS_5V0"],
        ),
        max_power_w=module.max_power_w,
        tensor_bytes=tensor_bytes,
        dla_bytes=dla_bytes,
        dla_native=dla_native,
        core_rate=module.cpu_fp32_mac_per_cycle * mode.cpu_mhz / 1e3 / PLAIN_GMAC_S,
        core_int8_gain=module.cpu_int8_gain,
    )


def plain_machine(cores: int) -> Machine:
    """Return the machine of a plain computer: its rates are parameters."""
    if cores < 1:
        raise OptionError(f"cores={cores} must be at least 1")
    return Machine(
        architecture="cpu",
        sm=0,
        gpu_ghz=1.0,
        gpu_max_ghz=1.0,
        mac_per_sm_cycle=(0.0, 0.0, 0.0),
        l2_bytes=0.0,
        dram_byte_s=1.0,
        dla_ghz=1.0,
        dla_mac_per_cycle=0.0,
        cpu_cores=cores,
        cpu_ghz=PLAIN_CPU_GHZ,
        idle_w=(0.0, 0.0, 0.0),
        max_power_w=float("inf"),
    )


def device_of(name: str, mode: str, processor: bool = False, edge_tpus: int = 0) -> DeviceSpec:
    """Return the device of a board of the catalogue in a power mode.

    A DLA that the mode switches off is left out. Tensor Cores come first, because a first
    engine is built for them: the default configuration is one instance there.

    Args:
        name: of the board.
        mode: its power mode.
        processor: True if the processor's cores are accelerators as well.
        edge_tpus: how many Edge TPUs stand beside it, up to 4.
    """
    module = board(name)
    chosen = power_mode(module, mode)
    names = [
        "tensor",
        "cuda",
        *(f"dla{core}" for core in range(module.dla_cores if chosen.dla_mhz > 0 else 0)),
        *(("cpu_fp32", "cpu_int8") if processor else ()),
        *(f"edgetpu{n}" for n in range(edge_tpus)),
    ]
    return DeviceSpec(
        module.module,
        tuple(accelerator(each) for each in names),
        chosen.cpu_cores,
        module.memory_mib - RESERVED_MIB,
        mode,
    )
