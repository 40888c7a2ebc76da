"""Networks that `benchmarks.answers` trains with PyTorch and exports to ONNX, in seconds each.

Each has fixed seeds. Together they stand for what people export: pictures in four input
conventions, features of very different sizes, a recurrent network, and a detector whose one output
holds boxes in pixels beside scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.answers_data import (
    Array,
    cancer,
    digits,
    scenes,
    signals,
)
from benchmarks.answers_modules import GRID, STRIDE, Bytes, Detector, Recurrent, Scaled, block

#: A box is right if it covers its shape by so much: intersection over union.
COVERS = 0.5

#: Says which answers are right: (outputs [n, ...], labels [n, ...]) to [n] truth values.
Right = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Trained:
    """A trained network in a file.

    Attributes:
        convention: its inputs in words.
        path: the ONNX file; its first dimension is free.
        samples: unlabelled inputs that it was not trained on.
        test: inputs and labels that nothing but the final count has seen.
        right: says which answers are right.
    """

    name: str
    convention: str
    path: Path
    samples: Array
    test: tuple[Array, Array]
    right: Right


def _picture_network() -> nn.Module:
    return nn.Sequential(
        *block(1, 16),
        *block(16, 32, 2),
        *block(32, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def _layers(features: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, classes)
    )


def _train(
    network: nn.Module,
    train: tuple[Array, Array],
    loss_of: Callable[..., torch.Tensor],
    rounds: int,
) -> None:
    """Train with Adam in batches of 64; the rate falls to zero."""
    inputs, labels = (torch.from_numpy(each) for each in train)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-3)
    batches = -(-len(inputs) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=rounds * batches)
    network.train()
    for _ in range(rounds):
        for rows in torch.randperm(len(inputs)).split(64):
            loss = loss_of(network, inputs[rows], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()


def _class_loss(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(network(inputs), labels)


def _box_loss(network: Detector, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of scores everywhere and of the box at the place of the centre."""
    raw = network.raw(inputs)
    column, row = ((labels[:, axis] / STRIDE).long().clamp(0, GRID - 1) for axis in (1, 2))
    place, each = row * GRID + column, torch.arange(len(labels))
    wanted = torch.zeros_like(raw[:, 4:])
    wanted[each, labels[:, 0].long(), place] = 1
    scores = nn.functional.binary_cross_entropy_with_logits(raw[:, 4:], wanted, reduction="sum")
    boxes = network.boxes(raw)[each, :, place]
    near = nn.functional.smooth_l1_loss(boxes, labels[:, 1:], reduction="sum")
    return (scores + near) / len(labels)


def right_class(outputs: Array, labels: Array) -> Array:
    """Return whether the largest of the outputs [n, classes] has the place of the label [n]."""
    return np.asarray(outputs.argmax(axis=1) == labels)


def right_box(outputs: Array, labels: Array) -> Array:
    """Return whether the best place [n, 4 + classes, places] has the class and covers the shape."""
    scores, each = outputs[:, 4:], np.arange(len(outputs))
    place = scores.max(axis=1).argmax(axis=1)
    kind = scores[each, :, place].argmax(axis=1)
    found, wanted = outputs[each, :4, place], labels[:, 1:]
    low = np.maximum(found[:, :2] - found[:, 2:] / 2, wanted[:, :2] - wanted[:, 2:] / 2)
    high = np.minimum(found[:, :2] + found[:, 2:] / 2, wanted[:, :2] + wanted[:, 2:] / 2)
    both = np.clip(high - low, 0, None).prod(axis=1)
    either = found[:, 2:].prod(axis=1) + wanted[:, 2:].prod(axis=1) - both
    return np.asarray((kind == labels[:, 0]) & (both >= COVERS * either))


def _export(network: nn.Module, example: Array, path: Path, dynamo: bool) -> None:
    """Write an ONNX file whose first dimension is free."""
    inputs = (torch.from_numpy(example),)
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
    if dynamo:
        batch = torch.export.Dim("batch", min=1, max=4096)
        torch.onnx.export(
            network, inputs, path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False, **names
        )
        return
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    torch.onnx.export(network, inputs, path, dynamo=False, dynamic_axes=axes, **names)


def _digits(folder: Path, convention: str) -> Trained:
    """Return a digits network that takes its pixels in one of four conventions."""
    data, network = digits(), _picture_network()
    pixels = data.train[0] / 255
    mean, scale = float(pixels.mean()), float(pixels.std())
    _train(network, ((pixels - mean) / scale, data.train[1]), _class_loss, 14)
    words, whole, of = {
        "0_255": ("pixels 0..255", Scaled(network, 255 * mean, 255 * scale), lambda x: x),
        "0_1": ("pixels 0..1", Scaled(network, mean, scale), lambda x: x / 255),
        "standardised": ("standardised pixels", network, lambda x: (x / 255 - mean) / scale),
        "bytes": (
            "bytes [n, 8, 8, 1], cast inside",
            Bytes(Scaled(network, mean, scale)),
            lambda x: x.transpose(0, 2, 3, 1).astype(np.uint8),
        ),
    }[convention]
    found = Trained(
        f"digits_{convention}",
        words,
        folder / f"digits_{convention}.onnx",
        _single(of(data.samples)),
        (_single(of(data.test[0])), data.test[1]),
        right_class,
    )
    return _trained(found, whole, dynamo=convention == "0_1")


def _single(values: Array) -> Array:
    """Return C-ordered bytes or single-precision numbers."""
    dtype = np.uint8 if values.dtype == np.uint8 else np.float32
    return np.ascontiguousarray(values, dtype)


def _trained(found: Trained, network: nn.Module, dynamo: bool = False) -> Trained:
    _export(network.eval(), found.samples[:2], found.path, dynamo)
    return found


def _cancer(folder: Path, form: str) -> Trained:
    """Return a network for features: standardised outside, inside, or in the first layer.

    In the last form one layer takes features of 0.001 and of 4,254 side by side, which no single
    scale of eight bits holds.
    """
    data = cancer()
    mean, scale = data.train[0].mean(axis=0), data.train[0].std(axis=0)
    network = _layers(30, 2)
    outside = form == "standardised"
    _train(network, ((data.train[0] - mean) / scale, data.train[1]), _class_loss, 30)
    whole = {"standardised": network, "raw": Scaled(network, mean, scale)}.get(form)
    samples, test = (
        _single((each - mean) / scale if outside else each) for each in (data.samples, data.test[0])
    )
    return _trained(
        Trained(
            f"cancer_{form}",
            {
                "standardised": "30 standardised features",
                "raw": "30 raw features, standardised inside",
                "folded": "30 raw features, standardised by the first layer",
            }[form],
            folder / f"cancer_{form}.onnx",
            samples,
            (test, data.test[1]),
            right_class,
        ),
        whole or _folded(network, mean, scale),
    )


def _folded(network: nn.Sequential, mean: Array, scale: Array) -> nn.Module:
    """Return the network whose first layer also standardises."""
    first = network[0]
    made = nn.Linear(first.in_features, first.out_features)
    weight = first.weight.detach().double() / torch.from_numpy(scale).double()
    made.weight.data = weight.float()
    made.bias.data = (first.bias.detach() - weight @ torch.from_numpy(mean).double()).float()
    return nn.Sequential(made, *network[1:])


def _signals(folder: Path) -> Trained:
    data, network = signals(), Recurrent()
    _train(network, data.train, _class_loss, 8)
    path = folder / "signals.onnx"
    found = Trained(
        "signals", "signals [n, 96, 1], GRU", path, data.samples, data.test, right_class
    )
    return _trained(found, network)


def _detector(folder: Path) -> Trained:
    data, network = scenes(), Detector()
    _train(network, data.train, _box_loss, 14)
    path = folder / "detector.onnx"
    convention = "pictures 0..1, one output [n, 7, 64] of boxes and scores"
    found = Trained("detector", convention, path, data.samples, data.test, right_box)
    return _trained(found, network, dynamo=True)


MAKERS: dict[str, Callable[[Path], Trained]] = {
    "digits_0_255": lambda folder: _digits(folder, "0_255"),
    "digits_0_1": lambda folder: _digits(folder, "0_1"),
    "digits_standardised": lambda folder: _digits(folder, "standardised"),
    "digits_bytes": lambda folder: _digits(folder, "bytes"),
    "cancer_standardised": lambda folder: _cancer(folder, "standardised"),
    "cancer_raw": lambda folder: _cancer(folder, "raw"),
    "cancer_folded": lambda folder: _cancer(folder, "folded"),
    "signals": _signals,
    "detector": _detector,
}


def trained(name: str, folder: Path) -> Trained:
    """Train and export one of `MAKERS`, with fixed seeds.

    One thread trains: with so little work, threads that wait for each other take longer.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return MAKERS[name](folder)
