"""Modules of PyTorch from which the networks of `benchmarks.answers` are made."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.answers_data import (
    SCENE_CLASSES,
    SIGNAL_CLASSES,
)

#: Places of the detector's grid along a side, and pixels between two of them.
GRID, STRIDE = 8, 4


class Scaled(nn.Module):
    """Subtract and divide inside the network, then run it."""

    def __init__(self, network: nn.Module, mean: Any, scale: Any) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for inputs as they are measured."""
        out: torch.Tensor = self.network((x - self.mean) / self.scale)
        return out


class Bytes(nn.Module):
    """Take pictures as cameras give them: bytes [n, height, width, channels]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for bytes."""
        out: torch.Tensor = self.network(x.permute(0, 3, 1, 2).float() / 255)
        return out


class Recurrent(nn.Module):
    """A convolution along time, a GRU, and classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 7, stride=4, padding=3)
        self.gru = nn.GRU(16, 24, batch_first=True)
        self.classes = nn.Linear(24, SIGNAL_CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, classes] of signals [n, points, 1]."""
        x = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        out: torch.Tensor = self.classes(self.gru(x)[0].mean(dim=1))
        return out


class Detector(nn.Module):
    """A box in pixels and the scores of classes for every place of a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *block(1, 16, 2), *block(16, 32, 2), *block(32, 32), *block(32, 32)
        )
        self.head = nn.Conv2d(32, 4 + SCENE_CLASSES, 1)
        places = torch.arange(GRID) * STRIDE + STRIDE / 2
        y, x = torch.meshgrid(places, places, indexing="ij")
        self.register_buffer("places", torch.stack([x, y]).reshape(1, 2, -1))

    def raw(self, x: torch.Tensor) -> torch.Tensor:
        """Return box offsets and logits [n, 4 + classes, places]."""
        out: torch.Tensor = self.head(self.features(x)).flatten(2)
        return out

    def boxes(self, raw: torch.Tensor) -> torch.Tensor:
        """Return centre and size in pixels [n, 4, places]."""
        centre = self.places + STRIDE * raw[:, :2]
        return torch.cat([centre, nn.functional.softplus(raw[:, 2:4]) * STRIDE], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return boxes [pixels] and scores 0..1, [n, 4 + classes, places]."""
        raw = self.raw(x)
        return torch.cat([self.boxes(raw), torch.sigmoid(raw[:, 4:])], dim=1)


def block(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution, its normalisation and a ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
