"""Draw networks for text, speech and volumes, and the vision transformer, for their shapes."""

from __future__ import annotations

import math

from benchmarks.drawings.shape_builder import ShapeBuilder


def bert_large(g: ShapeBuilder) -> list[str]:
    """Draw BERT-Large with inputs `token_ids` and `segment_ids` [384] and `mask` [1, 1, 384]."""
    words, segments = _embed(g, "token_ids", 30522, 1024), _embed(g, "segment_ids", 2, 1024)
    x = g.layer_norm(g.op("Add", [g.add(words, segments)], (384, 1024)))
    for _ in range(24):
        x = g.layer_norm(g.add(_attention(g, x, tokens=384, heads=16, mask="mask"), x))
        x = g.layer_norm(g.add(g.matmul(g.op("Gelu", [g.matmul(x, 4096)]), 1024), x))
    return [g.matmul(x, 2)]


def vit_b16(g: ShapeBuilder) -> list[str]:
    """Draw ViT-B/16."""
    x = g.listed("Reshape", g.convolve("input", 768, 16, 16, pad=0, bias=True), [0, 768, 196])
    # The padding stands for the class token.
    x = g.listed("Pad", g.op("Transpose", [x], perm=[0, 2, 1]), [0, 1, 0, 0, 0, 0])
    x = g.op("Add", [x], (197, 768))
    for _ in range(12):
        x = g.add(_attention(g, g.layer_norm(x), tokens=197, heads=12), x)
        x = g.add(g.matmul(g.op("Gelu", [g.matmul(g.layer_norm(x), 3072)]), 768), x)
    x = g.listed("Slice", g.layer_norm(x), [0], [1], [1])
    return [g.linear(g.listed("Reshape", x, [0, 768]), 1000)]


def rnnt(g: ShapeBuilder) -> list[str]:
    """Draw RNN-T with inputs `input` [240 steps, 240 features] and `symbol_ids` [107].

    The greedy decoder runs its small networks once per step or symbol. Here each of them is one
    layer over all steps or symbols: the multiply-accumulates are right, and the number of launches
    is far too small.
    """
    x = _lstm(g, _lstm(g, "input", 240, 1024), 1024, 1024)
    x = g.listed("Reshape", x, [0, 120, 2048])  # two steps side by side
    for features in (2048, 1024, 1024):
        x = _lstm(g, x, features, 1024)
    y = _lstm(g, _lstm(g, _embed(g, "symbol_ids", 29, 320), 320, 320), 320, 320)
    # A step of the decoder reads the next frame or adds a symbol: there is one joint result for
    # each frame and each symbol.
    halves = [
        g.op("MatMul", [part], (width, 512), channels=512) for part, width in ((x, 1024), (y, 320))
    ]
    joint = g.relu(g.op("Concat", halves, channels=512, axis=1))
    return [g.matmul(joint, 29)]


def unet3d(g: ShapeBuilder, classes: int) -> list[str]:
    """Draw a 3-D U-Net: five halvings from 32 to 320 channels and back.

    Every size has two 3x3x3 convolutions; on the way down the first of them is strided.
    """

    def conv(x: str, out: int, stride: int = 1) -> str:
        x = g.convolve(x, out, (3, 3, 3), stride, bias=True)
        return g.op("LeakyRelu", [g.op("InstanceNormalization", [x], (out,), (out,))])

    widths, x, sides = (32, 64, 128, 256, 320, 320), "input", []
    for level, width in enumerate(widths):
        x = conv(conv(x, width, 2 if level else 1), width)
        sides.append(x)
    for side in sides[-2::-1]:
        width = g.channels(side)
        up = g.op(
            "ConvTranspose", [x], (g.channels(x), width, 2, 2, 2), channels=width, strides=[2] * 3
        )
        x = conv(conv(g.concat([up, side]), width), width)
    return [g.convolve(x, classes, (1, 1, 1))]


def _embed(g: ShapeBuilder, ids: str, words: int, width: int) -> str:
    return g.op("Gather", [g.blank((words, width)), ids], channels=width)


def _attention(g: ShapeBuilder, x: str, tokens: int, heads: int, mask: str | None = None) -> str:
    width = g.channels(x)
    query, key, value = (
        g.op(
            "Transpose",
            [g.listed("Reshape", g.matmul(x, width), [0, tokens, heads, width // heads])],
            perm=perm,
        )
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = g.op(
        "Div", [g.op("MatMul", [query, key], channels=tokens), g.number(math.sqrt(width // heads))]
    )
    shares = g.op("Softmax", [g.add(scores, mask) if mask else scores])
    mixed = g.op("Transpose", [g.op("MatMul", [shares, value], channels=width)], perm=[0, 2, 1, 3])
    return g.matmul(g.listed("Reshape", mixed, [0, tokens, width], channels=width), width)


def _lstm(g: ShapeBuilder, x: str, features: int, hidden: int) -> str:
    """Draw an LSTM: [batch, steps, features] -> [batch, steps, hidden].

    The operator itself needs the steps in front.
    """
    weights = ((1, 4 * hidden, features), (1, 4 * hidden, hidden), (1, 8 * hidden))
    y = g.op(
        "LSTM",
        [g.op("Transpose", [x], perm=[1, 0, 2])],
        *weights,
        channels=hidden,
        hidden_size=hidden,
    )
    return g.op("Transpose", [g.listed("Squeeze", y, [1])], perm=[1, 0, 2])
