"""Accelerators: the places at which an instance can run, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from envs.errors import OptionError
from envs.spec.mapping import TO, Mapping


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
        name: `cuda`, `tensor`, `dla0`, `dla1`; on a processor `cpu_fp32` and `cpu_int8` by ONNX
            Runtime, `openvino_fp32` and `openvino_int8` by OpenVINO; on Edge TPUs `edgetpu0` to
            `edgetpu3`.
        kind: the sort of hardware.
        resource: the hardware it draws on; accelerators with the same resource share it.
        weight_bytes: bytes of one weight or activation here (4 for FP32, 1 for INT8).
        max_loadables: loadables it can hold at once over all tenants, see
            `ConfigurationSpace.blocks`; None for no such limit.
        max_instances, max_batch: limits for one tenant here, whatever the space allows elsewhere;
            None for no limit of its own.
        segments: in how many parts, one after the other, a network runs here. Between two parts it
            gives way to critical tenants, so that more than one part is for best effort alone.
        mapping: which layer groups run on which accelerators, where a network is divided among
            several; None for a whole network on one. See `mapped`.
    """

    name: str
    kind: Kind
    resource: str
    weight_bytes: int
    max_loadables: int | None = None
    max_instances: int | None = None
    max_batch: int | None = None
    segments: int = 1
    mapping: Mapping | None = None

    @property
    def resources(self) -> tuple[str, ...]:
        """Return the hardware it draws on: that of every part of a mapping, in their order."""
        if self.mapping is None:
            return (self.resource,)
        parts = (ACCELERATORS[name].resource for name in self.mapping.accelerators)
        return tuple(dict.fromkeys(parts))

    @property
    def dla_core(self) -> int | None:
        """Return the DLA core that it, or a part of it, runs on; None for none."""
        return int(self.resource.removeprefix("dla")) if self.kind is Kind.DLA else None

    @property
    def dla_parts(self) -> int:
        """Return how many parts run on a DLA, each of which is a loadable or more; 0 for none.

        They are those of a mapping, or segments; a network with few cuts has fewer of these.
        """
        if self.mapping is None:
            return self.segments if self.kind is Kind.DLA else 0
        return sum(ACCELERATORS[name].kind is Kind.DLA for name in self.mapping.accelerators)

    @property
    def engine(self) -> tuple[Kind, int, str]:
        """Return what is equal for accelerators that run the same engines, as two DLA cores do."""
        divided = "" if self.mapping is None else self.mapping.name.replace("dla1", "dla0")
        return self.kind, self.weight_bytes, divided

    @property
    def precision(self) -> str:
        """Return `fp32`, `fp16` or `int8`; of a mapping the least exact one of its parts."""
        return PRECISIONS[self.weight_bytes]

    @property
    def whole(self) -> str:
        """Return the name of the same accelerator where a network runs in one piece."""
        return self.name.partition(IN)[0]

    @property
    def on_gpu(self) -> bool:
        """Return True if its engines are those of a GPU; a mapping with a DLA has a DLA's."""
        return self.kind in (Kind.CUDA_CORES, Kind.TENSOR_CORES)

    @property
    def start_rank(self) -> int:
        """Return its place in the order in which a start tries accelerators.

        That is GPU, processor, DLA, Edge TPU: a DLA is the likeliest to refuse, and no runtime
        opens an Edge TPU. Mappings, which need all of their parts, come last.
        """
        if self.mapping is not None:
            return 4
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
        Accelerator("openvino_fp32", Kind.CPU, "cpu", 4),
        Accelerator("openvino_int8", Kind.CPU, "cpu", 1),
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

    `tensor_in_4` is `tensor` where a network runs in 4 segments, see `Accelerator.segments`;
    `dla0_to_7_tensor` is a mapping, see `mapped`.
    """
    if TO in name:
        return mapped(Mapping.parse(name), ACCELERATORS)
    base, _, segments = name.partition(IN)
    if base not in ACCELERATORS or (segments and not (segments.isdigit() and int(segments) > 1)):
        raise OptionError(f"unknown accelerator {name!r}: choose from {', '.join(ACCELERATORS)}")
    found = ACCELERATORS[base]
    return replace(found, name=name, segments=int(segments)) if segments else found


def mapped(mapping: Mapping, known: Lookup[str, Accelerator]) -> Accelerator:
    """Return a mapping as a place at which an instance can run.

    It is of the kind DLA, and has the name of the core as its resource, where a part runs on a DLA;
    otherwise both are those of its first part. It computes as exactly as its least exact part. Its
    limits are the tightest of its parts'.

    Args:
        mapping: two parts or more.
        known: accelerators by name, among them all parts.

    Raises:
        OptionError: a part is not known, or these parts cannot be one instance.
    """
    missing = [name for name in mapping.accelerators if name not in known]
    if missing:
        raise OptionError(
            f"{mapping.name}: there is no accelerator {missing[0]!r} to map layers to: choose from"
            f" {', '.join(known)}"
        )
    parts = [known[name] for name in mapping.accelerators]
    dlas = [each for each in parts if each.kind is Kind.DLA]
    if len({each.resource for each in dlas}) > 1:
        raise OptionError(
            f"{mapping.name} uses two DLA cores, which gains nothing over two instances: map layers"
            " to one of them"
        )
    on_cpu = {each.kind is Kind.CPU for each in parts}
    if len(on_cpu) > 1 or any(each.kind is Kind.EDGE_TPU for each in parts):
        raise OptionError(
            f"{mapping.name} cannot be one instance: map layers to the GPU and a DLA core, or to"
            " the precisions of a processor"
        )
    main = dlas[0] if dlas else parts[0]
    return Accelerator(
        mapping.name,
        main.kind,
        main.resource,
        min(each.weight_bytes for each in parts),
        max_loadables=main.max_loadables,
        max_instances=_tightest([each.max_instances for each in parts]),
        max_batch=_tightest([each.max_batch for each in parts]),
        mapping=mapping,
    )


def _tightest(limits: Sequence[int | None]) -> int | None:
    return min((each for each in limits if each is not None), default=None)


def check_precisions(allowed: Sequence[str]) -> None:
    """Raise OptionError if these are not some of the names of precisions, each once."""
    known = PRECISIONS.values()
    if not allowed or not set(allowed) <= set(known) or len(set(allowed)) < len(allowed):
        raise OptionError(
            f"precisions={list(allowed)} must name some of {', '.join(known)}, each once"
        )
