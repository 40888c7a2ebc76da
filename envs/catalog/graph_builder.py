"""Build an ONNX graph layer by layer, with seeded random weights of a usual scale."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.optional import optional_import

#: A layer scales its weights by the inverse of the power that it reads: behind a ReLU, a unit
#: normal has the variance 1/2 - 1/(2 pi) and the mean square 1/2.
CENTRED_GAIN, RECTIFIED_GAIN, LINEAR_GAIN = 1 / (0.5 - 0.5 / math.pi), 2.0, 1.0

#: ONNX 1.13 (opset 17 with IR 8): the oldest pair that both TensorRT 8.5 (JetPack 5) and current
#: onnxruntime read.
OPSET, IR_VERSION = 17, 8


class GraphBuilder:
    """Collects the nodes and weights of a graph.

    Every layer method takes the name of a tensor and returns the name of its result. Tensors are
    NCHW float32. Weights are He-initialized (He et al. 2015, arXiv:1502.01852). Weights of a layer
    that reads rectified features are centred too (Huang et al. 2017, arXiv:1710.02338): otherwise
    the mean that every ReLU adds, which is the same for all images, grows over the differences
    between images, and after twenty layers the logits hardly depend on the input.
    """

    def __init__(self, seed: int) -> None:
        self._onnx = optional_import("onnx", "networks")
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._channels: dict[str, int] = {"input": 3}

    def channels(self, x: str) -> int:
        """Return the channels of the feature map `x`, or the features of a flattened map."""
        return self._channels[x]

    def conv(
        self,
        x: str,
        out: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        bias: bool = False,
        rectified: bool = True,
    ) -> str:
        """Add a square convolution with weights [out, channels / groups, kernel, kernel].

        Args:
            x: name of the tensor to read.
            out: output channels.
            kernel: height and width of the kernel.
            stride: step in both directions.
            pad: pixels added on every side.
            groups: groups of channels.
            bias: add a bias [out].
            rectified: True if `x` comes from a ReLU.
        """
        shape = (out, self._channels[x] // groups, kernel, kernel)
        inputs = [x, self._he(shape, rectified)] + (
            [self._normal((out,), 0.0, 0.01)] if bias else []
        )
        attributes = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [pad] * 4,
            "group": groups,
        }
        return self._node("Conv", inputs, out, **attributes)

    def batch_norm(self, x: str, scale: float = 1.0) -> str:
        """Add batch normalization for inference, near the identity times `scale`."""
        size = (self._channels[x],)
        variance = self._weight(self._rng.uniform(0.9, 1.1, size).astype(np.float32))
        parameters = [
            self._normal(size, scale, 0.1 * scale),
            self._normal(size, 0.0, 0.1 * scale),
            self._normal(size, 0.0, 0.1),
            variance,
        ]
        return self._node("BatchNormalization", [x, *parameters], self._channels[x], epsilon=1e-5)

    def relu(self, x: str) -> str:
        """Add max(x, 0)."""
        return self._node("Relu", [x], self._channels[x])

    def relu6(self, x: str) -> str:
        """Add a clip to [0, 6]."""
        limits = [self._weight(np.asarray(limit, np.float32)) for limit in (0.0, 6.0)]
        return self._node("Clip", [x, *limits], self._channels[x])

    def add(self, x: str, y: str) -> str:
        """Add the elementwise sum of two tensors."""
        return self._node("Add", [x, y], self._channels[x])

    def concat(self, parts: list[str]) -> str:
        """Add the concatenation of feature maps along their channels."""
        return self._node("Concat", parts, sum(self._channels[part] for part in parts), axis=1)

    def max_pool(self, x: str, kernel: int, stride: int, pad: int = 0, ceil: bool = False) -> str:
        """Add a square max pool; sizes round up if `ceil`."""
        attributes = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [pad] * 4,
            "ceil_mode": int(ceil),
        }
        return self._node("MaxPool", [x], self._channels[x], **attributes)

    def average_pool(self, x: str, kernel: int, stride: int) -> str:
        """Add a square average pool."""
        return self._node(
            "AveragePool", [x], self._channels[x], kernel_shape=[kernel] * 2, strides=[stride] * 2
        )

    def global_average(self, x: str) -> str:
        """Add the mean over the pixels of each channel: [batch, channels, 1, 1]."""
        return self._node("GlobalAveragePool", [x], self._channels[x])

    def flatten(self, x: str, pixels: int = 1) -> str:
        """Add the reshape of a feature map with that many pixels to [batch, channels * pixels]."""
        return self._node("Flatten", [x], self._channels[x] * pixels, axis=1)

    def linear(self, x: str, out: int) -> str:
        """Add a fully connected layer behind a ReLU: weights [out, features], bias [out]."""
        weights = [
            self._he((out, self._channels[x]), rectified=True),
            self._normal((out,), 0.0, 0.01),
        ]
        return self._node("Gemm", [x, *weights], out, transB=1)

    def model(self, name: str, x: str, image_size: int) -> Any:
        """Return the ModelProto; `x` [batch, features] becomes its output `logits`."""
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        self._nodes[-1].output[0] = "logits"
        source = helper.make_tensor_value_info("input", kind, ["batch", 3, image_size, image_size])
        result = helper.make_tensor_value_info("logits", kind, ["batch", self._channels[x]])
        graph = helper.make_graph(self._nodes, name, [source], [result], initializer=self._weights)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="orin-tuner"
        )

    def _node(self, kind: str, inputs: list[str], channels: int, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes)
        )
        self._channels[name] = channels
        return name

    def _he(self, shape: tuple[int, ...], rectified: bool) -> str:
        # A depthwise filter reads one channel: centred, it would only find edges.
        centred = rectified and shape[1] > 1
        gain = CENTRED_GAIN if centred else RECTIFIED_GAIN if rectified else LINEAR_GAIN
        values = self._rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(math.sqrt(gain / math.prod(shape[1:])))
        if centred:
            values -= values.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        return self._weight(values)

    def _normal(self, shape: tuple[int, ...], mean: float, deviation: float) -> str:
        values = self._rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(deviation)
        values += np.float32(mean)
        return self._weight(values)

    def _weight(self, values: npt.NDArray[np.float32]) -> str:
        name = f"weight_{len(self._weights)}"
        self._weights.append(self._onnx.numpy_helper.from_array(values, name))
        return name
