"""An estimate of the memory that configurations fill."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import FloatArray, IntArray
from envs.spec.accelerator import Kind

if TYPE_CHECKING:
    from envs.spec.network import Network
    from envs.spec.space import ConfigurationSpace

#: Memory that one instance takes on a processor beside its weights and activations (runtime, arena,
#: threads). Measured on ONNX Runtime 1.31 with a network of 1.2 million parameters: 25 to 40 MiB a
#: session; rounded up.
SESSION_MIB = 48.0

#: Memory that one execution context of TensorRT takes beside its activations: states of layers and
#: look-up tables, which contexts cannot share. NVIDIA/TensorRT-RTX issue 14 sees 4 to 14 MiB on a
#: desktop; rounded up. Nobody has published a number for an Orin.
CONTEXT_MIB = 16.0

#: Memory that CUDA and the libraries of TensorRT take once in a process. The log in NVIDIA/TensorRT
#: issue 2217, of a Jetson, goes from 1793 to 2222 MiB while CUDA, cuBLAS and cuDNN start; rounded
#: up.
CUDA_MIB = 512.0

#: A tensor that crosses the border of an engine has two buffers: pinned memory that the processor
#: fills or reads, and memory of the device. On a Jetson both lie in the same DRAM.
BUFFERS = 2


def memory_mib(space: ConfigurationSpace, placements: IntArray) -> FloatArray:
    """Return an estimate [N] of the memory that configurations [N, T, A, 2] fill, in MiB.

    Weights and peak activations count at the precision of each accelerator. On a GPU or a DLA all
    instances of a network share one loaded plan and thus its weights. Those of a DLA lie in its
    global DRAM pool, and what the layers of an instance pass on in its local DRAM pool: the limits
    of the pools are no memory by themselves. On a processor each instance has weights of its own.
    An Edge TPU has no pool: its model lies in the host's memory once, whether loaded or not.

    A mapping has the weights once for all of its parts. Nobody knows here which of them lie in
    which part, so that all count as those of the part with the widest numbers. On a processor each
    part is a session. A tensor that crosses from one part to the next is a buffer beside the
    activations of the parts; it counts as large as the largest activations.
    """
    instances, batch = placements[..., 0].astype(np.float64), placements[..., 1].astype(np.float64)
    networks = [tenant.network for tenant in space.workload.tenants]
    accelerators = space.device.accelerators
    parts = [space.device.parts(each) for each in accelerators]
    share = np.array([max(part.weight_bytes for part in each) / 4 for each in parts])
    sessions = np.array([len(each) for each in parts])
    buffers = np.array([1.0 + (each.mapping is not None) for each in accelerators])
    weights, activations, border = (
        np.array(values)[:, None] / 2**20
        for values in (
            [float(network.weight_bytes) for network in networks],
            [float(network.activation_bytes) for network in networks],
            [BUFFERS * _border_bytes(network) for network in networks],
        )
    )
    activations = activations * buffers
    processor = np.array([each.kind is Kind.CPU for each in accelerators])
    edge_tpu = np.array([each.kind is Kind.EDGE_TPU for each in accelerators])
    every = np.where(
        processor,
        SESSION_MIB * sessions + (weights + activations * batch) * share,
        np.where(edge_tpu, border * batch, CONTEXT_MIB + (activations * share + border) * batch),
    )
    used = (instances > 0) & ~processor
    once = np.where(used, weights * share, 0.0)
    filled: FloatArray = (instances * every + once).sum(axis=(1, 2))
    filled += CUDA_MIB * (used & ~edge_tpu).any(axis=(1, 2))
    return filled


def _border_bytes(network: Network) -> float:
    """Return the bytes of the inputs and outputs of one sample."""
    tensors = (*network.inputs, *network.outputs)
    return float(sum(math.prod(each.shape) * _item_bytes(each.dtype) for each in tensors))


def _item_bytes(dtype: str) -> int:
    """Return the bytes of a number by the bits in the name of its type; 4 where it has none."""
    bits = re.search(r"\d+", dtype)
    return min(max(int(bits[0]) // 8, 1), 16) if bits else 1 if dtype == "bool" else 4
