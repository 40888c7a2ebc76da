"""What the small PyTorch modules are made of, and their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Made = tuple[nn.Module, tuple[torch.Tensor, ...]]


class Calling(nn.Module):
    """A module whose forward is a function of its layers and inputs."""

    def __init__(self, forward: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._function = forward

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self._function(self.layers, *inputs)


def images(channels: int = 3, size: int = 8) -> tuple[torch.Tensor, ...]:
    return (torch.rand(2, channels, size, size),)


def sequence(length: int = 5, features: int = 8) -> tuple[torch.Tensor, ...]:
    return (torch.rand(2, length, features),)


def conv(out: int = 4, channels: int = 3, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, **more)
