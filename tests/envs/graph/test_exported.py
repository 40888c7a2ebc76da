"""Files that PyTorch's two exporters write are read, with a free batch, and cost what they cost."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from envs.errors import NetworkError
from envs.graph.layers import read_network_and_layers
from envs.graph.reading import read_network
from envs.spec import Network
from tests.envs.graph.torch_modules import MODULES
from tests.envs.graph.torch_parts import Calling, Made

#: Operators of PyTorch that its older exporter writes from a later opset on.
FIRST_OPSET = {"scaled_attention": 14, "multihead": 14, "encoder": 14, "mask": 14, "einsum": 12}

#: PyTorch counts no recurrent layers, and `macs` does not either: the table of layers does.
RECURRENT = {"lstm", "lstm_two_ways", "gru", "zero_state", "time_inside"}

#: Kinds of graphs that the newer exporter writes in another way; each takes a second.
BY_DYNAMO = [
    *("view", "channel_shuffle", "class_token", "attention", "multihead", "lstm", "interpolate"),
    *("detector", "anchors", "several_inputs", "bytes_in", "rolled_windows", "einsum", "mask"),
]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters print, log and warn about themselves."""
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def made(name: str) -> Made:
    torch.manual_seed(0)
    module, inputs = MODULES[name]()
    return module.eval(), inputs


def export(name: str, path: Path, opset: int | None, dynamo: bool = False) -> Path:
    """Export with one of the two exporters."""
    module, inputs = made(name)
    names = [f"input{position}" for position in range(len(inputs))]
    how: dict[str, Any] = {"dynamo": dynamo, "opset_version": opset}
    if dynamo:
        batch = torch.export.Dim("batch", min=1, max=64)
        sizes = tuple({0: batch} for _ in inputs)
        # A forward with *inputs takes one tuple of shapes.
        how["dynamic_shapes"] = (sizes,) if isinstance(module, Calling) else sizes
    else:
        how["dynamic_axes"] = {each: {0: "batch"} for each in names}
    with quiet():
        torch.onnx.export(module, inputs, str(path), input_names=names, **how)
    return path


def answers(path: Path, network: Network, rows: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    feed = {
        spec.name: (rng.random((rows, *spec.shape)) * 9).astype(spec.dtype)
        for spec in network.inputs
    }
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, feed)
    return found


def macs_of(name: str) -> float:
    """Return PyTorch's own count for one sample of the two."""
    module, inputs = made(name)
    # One kernel for attention is not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return float(counter.get_total_flops()) / 2 / len(inputs[0])


def check(name: str, path: Path) -> None:
    network, layers = read_network_and_layers(path)
    assert network.fixed_batch is None
    assert (network.float_type, network.quantised) == ("float32", False)
    for rows in (1, 3):
        for spec, output in zip(network.outputs, answers(path, network, rows), strict=True):
            assert output.shape == (spec.shape if spec.shared else (rows, *spec.shape))
            assert output.dtype == spec.dtype
    assert {spec.shared for spec in network.outputs[1:]} <= {name == "anchors"}
    if name not in RECURRENT:
        assert network.macs == layers.total_macs == macs_of(name)
    else:
        assert layers.total_macs > network.macs


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("opset", [11, 13, 17])
def test_files_of_the_older_exporter_are_read(tmp_path: Path, name: str, opset: int) -> None:
    if opset < FIRST_OPSET.get(name, 0):
        opset = FIRST_OPSET[name]
    check(name, export(name, tmp_path / "net.onnx", opset))


@pytest.mark.parametrize("name", BY_DYNAMO)
def test_files_of_the_newer_exporter_are_read(tmp_path: Path, name: str) -> None:
    check(name, export(name, tmp_path / "net.onnx", None, dynamo=True))


def test_attention_as_one_operator_is_counted(tmp_path: Path) -> None:
    """ONNX has it since opset 23."""
    path = export("multihead", tmp_path / "net.onnx", 23, dynamo=True)
    assert "Attention" in {node.op_type for node in onnx.load(path).graph.node}
    check("multihead", path)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_time_before_the_batch_is_refused(tmp_path: Path, name: str) -> None:
    """PyTorch's own order, [time, batch, features], with a free first axis."""
    layer = torch.nn.LSTM(8, 6) if name == "lstm" else torch.nn.GRU(8, 6)
    module = Calling(lambda m, x: m[0](x)[0], layer).eval()
    path, axes = tmp_path / "net.onnx", {"x": {0: "time"}}
    with quiet():
        torch.onnx.export(
            module, (torch.rand(5, 1, 8),), path, dynamo=False, input_names=["x"], dynamic_axes=axes
        )
    with pytest.raises(NetworkError, match=f"^{path}: {name.upper()} .* its first axis is time"):
        read_network(path)
