"""Options of serving, which several commands share."""

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Optional

from envs.errors import OptionError, require_positive
from envs.graph.binding import all_bound
from envs.graph.onnx_file import network_name
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec import (
    ACCELERATORS,
    ConfigurationSpace,
    DeviceSpec,
    Kind,
    Network,
    Workload,
    accelerator,
    fair_weights,
    workload_of,
)
from envs.spec.mapping import TO
from envs.telemetry.sensors import SENSORS
from tuner.folders import cache_folder
from tuner.network_files import check_given, existing

#: Runtimes by name.
RUNTIMES = ("onnxruntime", "tensorrt", "simulated", "replayed")

#: Options that have a meaning for some runtimes only.
BELONGS_TO = {
    "board": ("simulated", "tensorrt"),
    "mode": ("simulated", "tensorrt"),
    "trace": ("replayed",),
    "dla_precision": ("simulated", "tensorrt"),
    "tensor_precision": ("simulated", "tensorrt"),
    "dla_io": ("simulated", "tensorrt"),
    "build_limit_s": ("tensorrt",),
    "mapping_engines": ("tensorrt",),
    "cores": ("onnxruntime",),
    "rate_ips": ("onnxruntime", "tensorrt", "simulated"),
    "weight": ("onnxruntime", "tensorrt", "simulated"),
    "samples": ("onnxruntime", "tensorrt", "simulated"),
    "segments": ("onnxruntime", "tensorrt", "simulated"),
    "mappings": ("onnxruntime", "tensorrt", "simulated"),
    "max_total_instances": ("onnxruntime", "tensorrt", "simulated"),
}


#: Values of `mappings` beside names.
AUTO, OFF = "auto", "off"

#: In how many segments a network of best effort may run, where nothing else is said.
SEGMENTS = [4, 16]


@dataclass(frozen=True)
class ServeOptions:
    """Options of serving: the networks, the device, and the configurations to choose from.

    Attributes:
        network: ONNX files, one for each tenant; with the runtime `replayed` they are optional.
        runtime: `onnxruntime` (the processor of this computer), `tensorrt` (its GPU and DLAs),
            `simulated` (the model of a board) or `replayed` (a recording).
        board: the simulated board, by default agx_orin_64; with `tensorrt` the board of the
            catalogue that this device is most like, by default the one its name says.
        mode: the power mode of the board, by default its largest (`simulated`) or the current one.
        trace: the recording to replay, by name or path.
        rate_ips: mean arrivals of each network [inferences/s], Poisson; by default as many
            requests as can be served.
        weight: how much an inference of each network counts; by default as much as its work.
        criticality: of each network, critical or best_effort, which takes what the critical ones
            leave and gives way to them; by default all are critical.
        segments: in how many parts a network of best effort may run on an accelerator beside in one
            piece; it gives way between them. By default 4 and 16 for the runtime simulated.
        mappings: mappings of layer groups as further places, such as dla0_to_7_tensor, which runs
            groups 0 to 6 on dla0 and the others on tensor; of several networks with the name of the
            network before it, as in resnet50:dla0_to_7_tensor. `auto` takes at most eight that are
            worth it by the device model. By default off.
        accelerators: the accelerators to use; by default the GPU and the DLAs, or the cores of a
            plain computer. Beside a GPU, cpu_fp32 and cpu_int8 serve where they are named, and
            everywhere openvino_fp32 and openvino_int8; edgetpu0 to edgetpu3 are modelled, for the
            runtime `simulated`.
        precisions: the precisions to use, of fp32, fp16 and int8; by default that of each
            accelerator.
        dla_precision: of engines for a DLA, int8 or fp16; by default int8.
        tensor_precision: of engines for Tensor Cores, fp16 or int8; by default fp16.
        dla_io: `native` gives a DLA inputs in its own formats, `linear` lets kernels on the GPU
            convert them; by default native.
        build_all: build every engine before the start; by default those that the start needs, and
            the others while it serves or when they are asked for.
        build_limit_s: the longest that one engine may take to build; by default half an hour.
        mapping_engines: `one` builds a mapping as one engine with a device for each layer, `parts`
            as an engine for each part; by default one.
        samples: inputs of each network, to calibrate INT8 on and to judge answers by: an .npz or
            .npy file, or a folder of .npy files, one a network.
        min_agreement: the least agreement of answers with FP32; an accelerator below it is no
            choice.
        allow_uncalibrated: use INT8 without samples, whose answers nobody judged.
        shape: the shape of an input with other free dimensions than the batch, as in
            images:1x3x640x640.
        fix: the value of an input that is the same for every request, as in sr:16000.
        cores: processor cores to use; by default all.
        max_instances: at most so many instances of a network on an accelerator.
        batches: batch sizes to choose from, ascending.
        max_total_instances: at most so many instances of all networks together.
        sensor: where power is read: auto, ina3221, jtop, rapl, nvml or none.
        cache: folder that keeps quantised networks and engines; by default
            ~/.cache/orin-tuner.
        serving: how requests are batched and windows measured.
    """

    network: list[str] = field(default_factory=list, metadata={"metavar": "ONNX"})
    runtime: str = "onnxruntime"
    board: Optional[str] = None
    mode: Optional[str] = None
    trace: Optional[str] = None
    rate_ips: Optional[list[float]] = None
    weight: Optional[list[float]] = None
    criticality: Optional[list[str]] = None
    segments: Optional[list[int]] = None
    mappings: Optional[list[str]] = None
    accelerators: Optional[list[str]] = None
    precisions: Optional[list[str]] = None
    dla_precision: Optional[str] = None
    tensor_precision: Optional[str] = None
    dla_io: Optional[str] = None
    build_all: bool = False
    build_limit_s: Optional[float] = None
    mapping_engines: Optional[str] = None
    samples: Optional[list[str]] = field(default=None, metadata={"metavar": "FILE"})
    min_agreement: float = 0.99
    allow_uncalibrated: bool = False
    shape: Optional[list[str]] = field(default=None, metadata={"metavar": "INPUT:SHAPE"})
    fix: Optional[list[str]] = field(default=None, metadata={"metavar": "INPUT:VALUE"})
    cores: Optional[int] = None
    max_instances: int = 4
    batches: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    max_total_instances: Optional[int] = None
    sensor: str = "auto"
    cache: Optional[str] = None
    serving: ServingOptions = field(default_factory=ServingOptions)

    def check(self) -> None:
        """Check everything that can be checked before a network is read.

        Raises:
            OptionError: an option has a wrong value, is missing, or belongs to another runtime.
            NetworkError: an ONNX file does not exist.
        """
        if self.runtime not in RUNTIMES:
            raise OptionError(
                f"runtime={self.runtime} is unknown: choose from {', '.join(RUNTIMES)}"
            )
        for key, runtimes in BELONGS_TO.items():
            if getattr(self, key) is not None and self.runtime not in runtimes:
                raise OptionError(
                    f"{key} has no meaning for runtime={self.runtime}, only for"
                    f" {' and '.join(runtimes)}: leave it out"
                )
        self._check_mappings()
        if self.sensor not in ("auto", *SENSORS):
            raise OptionError(f"sensor={self.sensor}: choose one of auto, {', '.join(SENSORS)}")
        if not 0 <= self.min_agreement <= 1:
            raise OptionError(
                f"min_agreement={self.min_agreement} must lie in 0..1, 0 for no limit"
            )
        if self.samples is not None and len(self.samples) != len(self.network):
            raise OptionError(
                f"samples has {len(self.samples)} files for {len(self.network)} networks: give one"
                " for each"
            )
        for file in self.samples or ():
            if not Path(file).exists():
                raise OptionError(f"samples: there is no file {file}")
        if self.runtime == "replayed":
            if not self.trace:
                raise OptionError("trace is missing: give the name or the path of a recording")
            if self.network:
                existing(self.network)
            return
        self.unread_space()
        existing(self.network)

    def _check_mappings(self) -> None:
        if self.mappings in (None, [AUTO], [OFF]):
            return
        for name in self.mappings or ():
            if TO not in name or accelerator(name.rpartition(":")[2]).mapping is None:
                raise OptionError(
                    f"mappings={name} names no mapping: write auto or off alone, or names such"
                    " as dla0_to_7_tensor"
                )
        if not self.mappings or len(set(self.mappings)) < len(self.mappings):
            raise OptionError(f"mappings={self.mappings} must name at least one, and each once")

    def unread_space(self) -> ConfigurationSpace:
        """Return the space before the networks are read: only their names are right."""
        check_given(self.network)
        names = self.accelerators or ["cpu_fp32"]
        device = DeviceSpec("device", tuple(accelerator(name) for name in names), 1, math.inf)
        every = DeviceSpec("device", tuple(ACCELERATORS.values()), 1, math.inf)
        if self.precisions is not None:
            (device if self.accelerators else every).with_precisions(self.precisions)
        chosen = {Kind.DLA: self.dla_precision, Kind.TENSOR_CORES: self.tensor_precision}
        every.with_chosen({kind: each for kind, each in chosen.items() if each is not None})
        if self.dla_io not in (None, "native", "linear"):
            raise OptionError(f"dla_io={self.dla_io} must be one of native, linear")
        if self.mapping_engines not in (None, "one", "parts"):
            raise OptionError(f"mapping_engines={self.mapping_engines} must be one of one, parts")
        require_positive("serve", self, "build_limit_s")
        modelled = [name for name in names if accelerator(name).kind is Kind.EDGE_TPU]
        if modelled and self.runtime != "simulated":
            raise OptionError(
                f"accelerators={', '.join(modelled)}: an Edge TPU is modelled only, no runtime"
                " opens one; leave it out, or predict with runtime=simulated"
            )
        if self.accelerators == [] or len(set(names)) != len(names):
            raise OptionError(
                f"accelerators={self.accelerators} must name at least one, and each once"
            )
        unread = [
            Network(network_name(each), "", 0, 0, 0, 0, (), (), None) for each in self.network
        ]
        return self.space(device, unread)

    def space(self, device: DeviceSpec, networks: list[Network]) -> ConfigurationSpace:
        """Return the configurations of these networks on a device."""
        weights = self.weight or fair_weights(networks)
        workload = workload_of(networks, self.rate_ips, weights, self.criticality)
        space = ConfigurationSpace(
            device.with_segments(self._segments(workload)),
            workload,
            self.max_instances,
            tuple(self.batches),
            self.max_total_instances,
        )
        return replace(space, unavailable=space.closed)

    def _segments(self, workload: Workload) -> list[int]:
        """Return the numbers of segments to choose from; none where nobody gives way.

        Raises:
            OptionError: a number is below 2, or no network is best effort.
        """
        if not any(workload.best_effort):
            if self.segments is not None:
                raise OptionError(
                    f"segments={self.segments} are for best effort: say which networks are, as in"
                    " criticality=critical best_effort"
                )
            return []
        if self.segments is None:
            return SEGMENTS if self.runtime == "simulated" else []
        if min(self.segments, default=0) < 2 or len(set(self.segments)) < len(self.segments):
            raise OptionError(
                f"segments={self.segments} must be whole numbers of at least 2, each once"
            )
        return self.segments

    def build_options(self) -> dict[str, Any]:
        """Return the options of building TensorRT engines that were given, by name."""
        given = {
            "dla_io": self.dla_io,
            "limit_s": self.build_limit_s,
            "mappings": self.mapping_engines,
        }
        return {key: value for key, value in given.items() if value is not None}

    def files(self) -> list[Path]:
        """Return the ONNX files, or copies of them with the sizes and values that were asked for.

        Raises:
            OptionError: no network has an input that `shape` or `fix` names.
            NetworkError: a file cannot be read.
        """
        paths = [Path(path) for path in self.network]
        return all_bound(paths, self.shape or (), self.fix or (), self.cache_path)

    @property
    def cache_path(self) -> Path:
        """Return the folder that keeps quantised networks and engines."""
        return Path(self.cache) if self.cache else cache_folder()


def plain(value: Any) -> Any:
    """Return dataclasses and their values as data for JSON and YAML."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
