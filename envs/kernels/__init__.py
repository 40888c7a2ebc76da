"""Elastic CUDA kernels for best-effort networks beside critical ones.

`elastic` makes a kernel whose grid and block are decoupled from the original's. `occupancy` and
`coordinator` choose how much of it runs where critical kernels leave room, in a model; nothing in
this room was measured on a GPU.
"""

from envs.kernels.generator import ElasticKernel, elastic, joined
from envs.kernels.syntax import KernelError

__all__ = ["ElasticKernel", "KernelError", "elastic", "joined"]
