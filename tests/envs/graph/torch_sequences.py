"""Small PyTorch modules that read sequences: attention, recurrent layers, masks and states."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tests.envs.graph.torch_parts import Calling, Made, sequence


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
