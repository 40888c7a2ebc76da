"""Small PyTorch modules of the kinds that people export, with an example of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tests.envs.graph.torch_parts import Calling, Made, conv, images, sequence
from tests.envs.graph.torch_sequences import (
    attention,
    best_rows,
    encoder,
    gru,
    lstm,
    lstm_two_ways,
    masked_mean,
    multihead,
    positions,
    repeated,
    scaled_attention,
    time_inside,
    unrolled,
    zero_state,
)


def view() -> Made:
    return Calling(
        lambda m, x: m[1](m[0](x).view(x.size(0), -1)), conv(), nn.Linear(256, 10)
    ), images()


def flatten() -> Made:
    return nn.Sequential(conv(), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)), images()


def channel_shuffle() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        x = m[0](x)
        n, c, h, w = x.size()
        return m[1](x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))

    return Calling(forward, conv(), conv(4, 4, groups=2)), images()


class Tokens(nn.Module):
    """A class token and positions before patches."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.rand(1, 1, 8))
        self.positions = nn.Parameter(torch.rand(1, 5, 8))
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        token = self.token.expand(x.shape[0], -1, -1)
        return self.head((torch.cat([token, patches], 1) + self.positions)[:, 0])


def class_token() -> Made:
    return Tokens(), images()


def group_norm() -> Made:
    return nn.Sequential(conv(), nn.GroupNorm(2, 4), nn.SiLU()), images()


def layer_norm() -> Made:
    return nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4), nn.GELU()), sequence()


def instance_norm() -> Made:
    return nn.Sequential(conv(), nn.InstanceNorm2d(4, affine=True)), images()


def upsample() -> Made:
    return nn.Sequential(conv(), nn.Upsample(scale_factor=2), conv(2, 4)), images()


def interpolate() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        small = m[0](x)
        return m[1](x) + functional.interpolate(small, size=x.shape[2:], mode="bilinear")

    return Calling(forward, conv(4, stride=2), conv()), images()


def pixel_shuffle() -> Made:
    return nn.Sequential(conv(), nn.PixelShuffle(2)), images()


def adaptive_pool() -> Made:
    return nn.Sequential(conv(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)), images()


def depthwise() -> Made:
    return nn.Sequential(
        conv(3, groups=3), nn.BatchNorm2d(3), nn.ReLU6(), nn.Conv2d(3, 4, 1)
    ), images()


def transposed() -> Made:
    return nn.Sequential(conv(), nn.ConvTranspose2d(4, 2, 2, 2)), images()


def embedding() -> Made:
    return nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 3)), (torch.randint(0, 20, (2, 6)),)


def squeeze_excite() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        x = m[0](x)
        n, c, _, _ = x.shape
        scale = m[2](functional.relu(m[1](x.mean((2, 3)).view(n, c)))).sigmoid().view(n, c, 1, 1)
        return x * scale.expand_as(x)

    return Calling(forward, conv(), nn.Linear(4, 2), nn.Linear(2, 4)), images()


def einsum() -> Made:
    return Calling(
        lambda m, x: torch.einsum("bid,bjd->bij", m[0](x), x), nn.Linear(8, 8)
    ), sequence()


def top_k() -> Made:
    return Calling(lambda m, x: torch.topk(m[0](x), 3, dim=-1), nn.Linear(8, 8)), sequence()


def split_and_cat() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(m[0](x), [1, 3], 1)
        a, b = second[:, 1:].chunk(2, 1)
        return m[1](torch.cat([first, b, a], 1))

    return Calling(forward, conv(), nn.Conv2d(3, 2, 1)), images()


def mask() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        future = torch.triu(torch.ones(x.size(1), x.size(1), dtype=torch.bool), 1)
        scores = (m[0](x) @ x.transpose(1, 2)).masked_fill(future, float("-inf"))
        return torch.where(x.sum(-1, keepdim=True) > 0, scores.softmax(-1), scores.tanh())

    return Calling(forward, nn.Linear(8, 8)), sequence()


def dropout() -> Made:
    return nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 2)), sequence()


def residual() -> Made:
    return Calling(
        lambda m, x: functional.relu(x + m[1](functional.relu(m[0](x)))), conv(), conv(3, 4)
    ), images()


def conv1d() -> Made:
    return nn.Sequential(nn.Conv1d(5, 4, 3), nn.LeakyReLU(), nn.MaxPool1d(2)), sequence()


def conv3d() -> Made:
    return nn.Sequential(nn.Conv3d(2, 4, 3), nn.AvgPool3d(2)), (torch.rand(2, 2, 6, 6, 6),)


def activations() -> Made:
    return nn.Sequential(
        conv(), nn.Hardswish(), conv(4, 4), nn.GELU(), nn.Hardsigmoid(), nn.Mish(), nn.Softplus()
    ), images()


class Detector(nn.Module):
    """A detection head with anchors: [N, 4 + classes, cells], and the anchors as they are."""

    def __init__(self, anchors: bool) -> None:
        super().__init__()
        self.first, self.second, self.anchors = conv(12), conv(12, stride=2), anchors

    def forward(self, x: torch.Tensor) -> Any:
        maps = [self.first(x), self.second(x)]
        cells = torch.cat([each.view(x.shape[0], 12, -1) for each in maps], 2)
        points = torch.cat([self.grid(each) for each in maps], 1)
        boxes, scores = cells.split((4, 8), 1)
        near, far = boxes.chunk(2, 1)
        boxes = torch.cat([points.unsqueeze(0) - near, points.unsqueeze(0) + far], 1)
        answer = torch.cat([boxes, scores.sigmoid()], 1)
        return (answer, points) if self.anchors else answer

    @staticmethod
    def grid(x: torch.Tensor) -> torch.Tensor:
        rows, columns = torch.arange(x.shape[2]), torch.arange(x.shape[3])
        return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).flatten(1) + 0.5


def detector() -> Made:
    return Detector(False), images()


def anchors() -> Made:
    return Detector(True), images()


def several_outputs() -> Made:
    return Calling(
        lambda m, x: (m[0](x), m[1](x).mean((2, 3)), x.flatten(1).argmax(1)), conv(), conv(2)
    ), images()


def several_inputs() -> Made:
    return Calling(
        lambda m, x, y: m[1](torch.cat([m[0](x).mean((2, 3)), y], 1)), conv(), nn.Linear(7, 2)
    ), (*images(), torch.rand(2, 3))


def bytes_in() -> Made:
    return Calling(lambda m, x: m[0](x.permute(0, 3, 1, 2).float() / 255.0), conv()), (
        torch.randint(0, 255, (2, 8, 8, 3), dtype=torch.uint8),
    )


def rolled_windows() -> Made:
    """Windows of a Swin transformer: the batch is multiplied by the windows and back."""

    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        x = torch.roll(x, (2, 2), (2, 3)).view(n, c, h // 4, 4, w // 4, 4)
        windows = m[0](x.permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c))
        return windows.view(n, h // 4, w // 4, 4, 4, -1).mean((1, 2, 3, 4))

    return Calling(forward, nn.Linear(3, 6)), images()


def unfold() -> Made:
    return Calling(
        lambda m, x: m[0](functional.unfold(x, 3, padding=1).transpose(1, 2)), nn.Linear(27, 4)
    ), images()


MODULES: dict[str, Callable[[], Made]] = {
    each.__name__: each
    for each in (
        *(view, flatten, channel_shuffle, class_token, attention, scaled_attention, multihead),
        *(encoder, lstm, lstm_two_ways, gru, group_norm, layer_norm, instance_norm, upsample),
        *(interpolate, pixel_shuffle, adaptive_pool, depthwise, transposed, embedding),
        *(squeeze_excite, einsum, top_k, split_and_cat, mask, dropout, residual, conv1d, conv3d),
        *(activations, detector, anchors, several_outputs, several_inputs, bytes_in),
        *(rolled_windows, unfold, masked_mean, positions, repeated, zero_state, time_inside),
        *(unrolled, best_rows),
    )
}
