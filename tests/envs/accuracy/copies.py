"""INT8 copies of networks, and what their layers run in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from envs.accuracy.quantization import Int8Copy, int8_copy
from envs.accuracy.reference import answers_of, session_of
from envs.accuracy.samples import Samples, invented
from envs.accuracy.schemes import PROCESSOR, Scheme
from envs.graph.onnx_file import read_whole
from tests.envs.accuracy.graphs import given, saved

COUNT = 16
ROW, FIVE = {"x": ["n", 16]}, {"y": ["n", 5]}


def copy_of(
    folder: Path, made: Any, samples: Samples | None = None, scheme: Scheme = PROCESSOR
) -> Int8Copy:
    """Return the INT8 copy of a model that was written and read."""
    path, network = saved(folder, made)
    if samples is None:
        samples = given(**invented(network, COUNT).arrays)
    found = int8_copy(read_whole(path), network, samples, scheme)
    onnx.checker.check_model(found.model, full_check=True)
    answers_of(session_of(found.model.SerializeToString(), "copy"), network, samples)
    return found


def int8_layers(found: Int8Copy) -> set[str]:
    """Return the names of nodes that read quantised numbers."""
    read = {
        name
        for each in found.model.graph.node
        if each.op_type == "DequantizeLinear"
        for name in each.output
    }
    return {each.name for each in found.model.graph.node if read & set(each.input)}
