"""Networks that are measured live and that no training drew, as ONNX files with a free batch.

Two are published architectures that training leaves out, at image sizes that a core serves in one
to twenty milliseconds. The others are of kinds of which training draws only large ones, or none: a
small transformer, a U-Net, a ConvNeXt and dilated convolutions along time. PyTorch makes them with
random weights of fixed seeds: speed does not depend on the values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.setup import NETWORKS, network_files
from envs.catalog.architectures import build
from envs.files import replacing


class Sized(NamedTuple):
    """A published architecture, and the pixels along each side of its image."""

    architecture: str
    image_size: int


class Made(NamedTuple):
    """A network of PyTorch, and the shape of one input."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


class Attention(nn.Module):
    """Attention with several heads, and two layers for each token (Dosovitskiy et al. 2020)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.parts, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.each = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return tokens [n, tokens, width] that have looked at each other."""
        tokens, width = x.shape[1:]
        split = self.parts(self.first(x)).reshape(-1, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.joined(seen.transpose(1, 2).reshape(-1, tokens, width))
        out: torch.Tensor = x + self.each(self.second(x))
        return out


class VisionTransformer(nn.Module):
    """Six layers of attention over patches of 16 x 16 pixels."""

    def __init__(self, image_size: int = 96, width: int = 192) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, stride=16)
        self.places = nn.Parameter(0.02 * torch.randn(1, (image_size // 16) ** 2, width))
        self.layers = nn.Sequential(*(Attention(width, 3) for _ in range(6)))
        self.classes = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, classes] of pictures."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        out: torch.Tensor = self.classes(self.layers(x).mean(dim=1))
        return out


class UNet(nn.Module):
    """A mask for pictures: down, up, and joined at each size (Ronneberger et al. 2015)."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.first = _twice(3, widths[0])
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), _twice(*pair)) for pair in pairs)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(high, low, 2, stride=2) for low, high in reversed(pairs)
        )
        self.joined = nn.ModuleList(_twice(2 * low, low) for low, _ in reversed(pairs))
        self.mask = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, 2, height, width] of pictures."""
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up, joined in zip(self.up, self.joined, strict=True):
            x = joined(torch.cat([up(x), maps.pop()], dim=1))
        out: torch.Tensor = self.mask(x)
        return out


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for each in (inputs, outputs):
        layers += [nn.Conv2d(each, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class ConvNeXtBlock(nn.Module):
    """A 7 x 7 filter for each channel, and two layers for each pixel (Liu et al. 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps [n, width, height, width] of the same shape."""
        y = self.norm(self.filters(x).permute(0, 2, 3, 1))
        y = self.narrow(nn.functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """Return a ConvNeXt with three stages of two blocks."""
    layers: list[nn.Module] = [nn.Conv2d(3, 48, 4, stride=4)]
    for width in (48, 96, 192):
        layers += [ConvNeXtBlock(width), ConvNeXtBlock(width)]
        if width < 192:
            layers += [nn.Conv2d(width, 2 * width, 2, stride=2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 1000))


def temporal() -> nn.Module:
    """Return dilated convolutions along the time of eight signals (Bai et al. 2018)."""
    layers: list[nn.Module] = []
    inputs = 8
    for dilation in (1, 2, 4, 8, 16):
        layers += [nn.Conv1d(inputs, 64, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        inputs = 64
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 10))


#: Networks by name. Those of a millisecond and less are squeezenet1_1_64 and temporal.
LIVE: dict[str, Sized | Made] = {
    "squeezenet1_1_64": Sized("squeezenet1_1", 64),
    "squeezenet1_1_224": Sized("squeezenet1_1", 224),
    "resnet50_32": Sized("resnet50", 32),
    "resnet50_96": Sized("resnet50", 96),
    "transformer": Made(VisionTransformer, (3, 96, 96)),
    "u_net": Made(UNet, (3, 64, 64)),
    "convnext": Made(convnext, (3, 96, 96)),
    "temporal": Made(temporal, (8, 1024)),
}


def live_files(names: list[str]) -> list[Path]:
    """Return an ONNX file for each name: of `LIVE`, of an architecture, or a path."""
    return [_live_file(name) if name in LIVE else network_files([name])[0] for name in names]


def _live_file(name: str) -> Path:
    path, recipe = NETWORKS / f"{name}.onnx", LIVE[name]
    if not path.exists():
        NETWORKS.mkdir(exist_ok=True)
        if isinstance(recipe, Sized):
            model = build(recipe.architecture, image_size=recipe.image_size)
            with replacing(path) as file:
                file.write(model.SerializeToString(deterministic=True))
        else:
            _export(recipe, path)
    return path


def _export(recipe: Made, path: Path) -> None:
    torch.manual_seed(0)
    network, example = recipe.make().eval(), torch.randn(2, *recipe.shape)
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    torch.onnx.export(
        network,
        (example,),
        path,
        dynamo=False,
        dynamic_axes=axes,
        input_names=["x"],
        output_names=["y"],
        opset_version=17,
    )
