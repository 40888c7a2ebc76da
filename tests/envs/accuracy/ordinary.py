"""Networks that keep the samples of a batch apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from tests.envs.accuracy.graphs import convolution, model, node, random

ROW, PICTURE = {"x": ["n", 6]}, {"x": ["n", 3, 4, 4]}


ONES, ZEROS = np.ones(3, np.float32), np.zeros(3, np.float32)


def same_shape(*nodes: Any, **weights: Any) -> Any:
    return model(nodes, ROW, {"y": ["n", 6]}, weights)


LSTM = {"w": random(1, 32, 4), "r": random(1, 32, 8, seed=1, scale=0.3), "a": np.array([1])}


ORDINARY = {
    "normalised": model(
        [node("BatchNormalization", "x s b m v", "y")],
        PICTURE,
        {"y": ["n", 3, 4, 4]},
        {"s": ONES, "b": ZEROS, "m": ZEROS, "v": ONES},
    ),
    "layer_norm": same_shape(node("LayerNormalization", "x s", "y"), s=np.ones(6, np.float32)),
    "instance_norm": model(
        [node("InstanceNormalization", "x s b", "y")],
        PICTURE,
        {"y": ["n", 3, 4, 4]},
        {"s": ONES, "b": ZEROS},
    ),
    "attention": model(
        [
            node("MatMul", "x q", "a"),
            node("Transpose", "x", "t", perm=[0, 2, 1]),
            node("MatMul", "a t", "s"),
            node("Softmax", "s", "p", axis=-1),
            node("MatMul", "p x", "y"),
        ],
        {"x": ["n", 5, 6]},
        {"y": ["n", 5, 6]},
        {"q": random(6, 6)},
    ),
    "lstm": model(
        [
            node("Transpose", "x", "t", perm=[1, 0, 2]),
            node("LSTM", "t w r", "h", hidden_size=8),
            node("Squeeze", "h a", "s"),
            node("Transpose", "s", "y", perm=[1, 0, 2]),
        ],
        {"x": ["n", 5, 4]},
        {"y": ["n", 5, 8]},
        LSTM,
    ),
    "classifier": convolution(),
    "old softmax": model([node("Softmax", "x", "y", axis=1)], ROW, {"y": ["n", 6]}, opset=9, ir=4),
    "dropout": same_shape(node("Dropout", "x", "y mask")),
    "log": same_shape(node("Log", "x", "y")),
    "never finite": same_shape(node("Sub", "x x", "z"), node("Div", "z z", "y")),
    "classes": model(
        [node("ArgMax", "x", "y", axis=1, keepdims=0)],
        ROW,
        {"y": ["n"]},
        kinds={"y": TensorProto.INT64},
    ),
    "truth": model(
        [node("Greater", "x o", "y")],
        ROW,
        {"y": ["n", 6]},
        {"o": np.float32(0)},
        kinds={"y": TensorProto.BOOL},
    ),
    "double": model(
        [node("Relu", "x", "y")],
        ROW,
        {"y": ["n", 6]},
        kinds=dict.fromkeys("xy", TensorProto.DOUBLE),
    ),
}
