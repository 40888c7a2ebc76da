"""Describe how numbers are quantised for processors and for TensorRT."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """Describe how numbers are quantised for one kind of engine.

    Attributes:
        name: part of the keys of caches.
        unsigned: True for unsigned activations with a zero point; False for signed ones around 0.
        seven_bits: True for weights of seven bits.
        bias: True for quantised biases.
    """

    name: str
    unsigned: bool
    seven_bits: bool
    bias: bool


#: Unsigned activations and signed weights with a scale for each output channel: on x86 processors
#: onnxruntime has fast kernels for that pair only (onnxruntime documentation, "Quantize ONNX
#: models"). Seven bits of weight: with eight, processors without VNNI overflow their 16-bit sums,
#: and the file may be copied to one.
PROCESSOR = Scheme("processor", unsigned=True, seven_bits=True, bias=True)

#: TensorRT has no zero points, and no quantised biases (developer guide, "Explicit Quantization").
TENSORRT = Scheme("tensorrt", unsigned=False, seven_bits=False, bias=False)
