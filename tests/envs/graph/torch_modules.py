"""Small PyTorch modules of the kinds that people export, with an example of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

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


class Attention(nn.Module):
    """Attention of two heads, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, length, width))


def attention() -> Made:
    return Attention(), sequence()


def scaled_attention() -> Made:
    return Calling(
        lambda m, x: functional.scaled_dot_product_attention(m[0](x), x, x), nn.Linear(8, 8)
    ), sequence()


def multihead() -> Made:
    return Calling(
        lambda m, x: m[0](x, x, x, need_weights=False)[0],
        nn.MultiheadAttention(8, 2, batch_first=True),
    ), sequence()


def encoder() -> Made:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), sequence()


def lstm() -> Made:
    return Calling(
        lambda m, x: m[1](m[0](x)[0][:, -1]), nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 3)
    ), sequence()


def lstm_two_ways() -> Made:
    return Calling(
        lambda m, x: m[0](x)[0], nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)
    ), sequence()


def gru() -> Made:
    return Calling(lambda m, x: m[0](x)[0], nn.GRU(8, 6, batch_first=True)), sequence()


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


def masked_mean() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        kept = (x.abs().sum(-1) > 1).float().unsqueeze(-1)
        return (m[0](x) * kept).sum(1) / kept.sum(1).clamp(min=1)

    return Calling(forward, nn.Linear(8, 4)), sequence()


def positions() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.size(1)).unsqueeze(0).expand(x.size(0), -1)
        return m[0](x) + m[1](places)

    return Calling(forward, nn.Linear(8, 4), nn.Embedding(10, 4)), sequence()


def repeated() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        rows = m[0](x).unsqueeze(1).repeat(1, 4, 1, 1).flatten(0, 1)
        return rows.view(x.size(0), 4, -1)

    return Calling(forward, nn.Linear(8, 4)), sequence()


def zero_state() -> Made:
    return Calling(
        lambda m, x: m[0](x, torch.zeros(1, x.size(0), 6))[1].squeeze(0),
        nn.GRU(8, 6, batch_first=True),
    ), sequence()


def time_inside() -> Made:
    """Time comes first inside alone, so that the batch is a batch."""
    return Calling(
        lambda m, x: m[0](x.transpose(0, 1))[0].transpose(0, 1), nn.LSTM(8, 6)
    ), sequence()


def unrolled() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(x.size(0), 8)
        for step in range(x.size(1)):
            state = torch.tanh(m[0](x[:, step]) + state)
        return state

    return Calling(forward, nn.Linear(8, 8)), sequence()


def best_rows() -> Made:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        rows = m[0](x).squeeze(-1).topk(3, 1).indices.unsqueeze(-1)
        return torch.gather(x, 1, rows.expand(-1, -1, x.size(2)))

    return Calling(forward, nn.Linear(8, 1)), sequence()


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
