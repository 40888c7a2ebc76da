"""Networks: cost, inputs and outputs of a served ONNX file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from envs.errors import NetworkError, one_line
from envs.files import check_fields


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: as in the ONNX file.
        shape: of one sample, without the batch.
        dtype: the numpy name of its type, such as `float32`.
        shared: True for an output without a batch, which belongs to every request as it is
            (anchors, for instance); `shape` is then the whole shape.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    shared: bool = False


@dataclass(frozen=True)
class Network:
    """A served network.

    Attributes:
        name: used in reports.
        sha256: of the file and of the files of weights that it names.
        macs: multiply-accumulates of one sample in Conv, ConvTranspose, Gemm and MatMul.
        weight_bytes: bytes of the weights in FP32.
        activation_bytes: the most bytes of activations alive at once for one sample in FP32.
        layers: nodes that compute.
        inputs: the tensors of one sample.
        outputs: the tensors of its answer.
        fixed_batch: the only batch size it can run with; None if it can run with any.
        float_type: `float32`, `float16` or `bfloat16`: the type that most of its weights have.
        quantised: True if the file itself has quantised nodes, so that it is an INT8 network.
    """

    name: str
    sha256: str
    macs: int
    weight_bytes: int
    activation_bytes: int
    layers: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fixed_batch: int | None
    float_type: str = "float32"
    quantised: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the network as plain data that JSON can hold; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Network:
        """Return the network that `to_dict` wrote, also after a way through JSON.

        Raises:
            NetworkError: a field is missing or unknown.
        """
        try:
            specs = {
                key: tuple(
                    TensorSpec(**spec | {"shape": tuple(int(size) for size in spec["shape"])})
                    for spec in data[key]
                )
                for key in ("inputs", "outputs")
            }
            network = cls(**data | specs)
            for described in (network, *network.inputs, *network.outputs):
                check_fields(described)
            return network
        except (KeyError, TypeError, ValueError) as error:
            raise NetworkError(
                f"this is not the description of a network ({one_line(error)}):"
                " read the ONNX file again"
            ) from error
