"""Scatter of a window of measurements around what the model predicts."""

from __future__ import annotations

import numpy as np

from envs.arrays import FloatArray

#: Scatter of a long window, as standard deviations of the logarithms of throughput, 99th percentile
#: and power (averaged over many readings of an INA3221, in steps of 0.4 W), and the addition for a
#: window of a single request, which falls with the root of their number. Windows of ten seconds on
#: an Orin Nano scatter by 0.4 % in throughput and 0.3 % in power (`benchmarks.tails`).
NOISE, NOISE_OF_ONE = (0.004, 0.006, 0.012), (0.05, 0.3, 0.05)

#: What is added to the scatter of p99 on a processor, whose threads everything else uses as well,
#: where p99 is short, and the latency [ms] at which that has halved. By `benchmarks.tails`, p99 of
#: 0.7 to 6 ms scatters by 12 to 21 % on two cores of an x86 computer, in six calm windows of each
#: of three configurations; within a window, p99 below 30 ms by 5 %, from 30 to 100 ms by 1 to 2 %.
#: A board with TensorRT and locked clocks has nothing of the kind: p99 of 0.6 to 12 ms, in pairs of
#: runs on an AGX Orin, differs by 0.7 % at most (MLPerf Inference v2.0, closed division, system
#: Orin_TRT_MaxQ).
NOISE_OF_SHORT, SHORT_MS = 0.12, 30.0

#: Default length of a window [s].
WINDOW_S = 3.0


def noise_spread(
    throughput_ips: FloatArray,
    window_s: float | FloatArray = WINDOW_S,
    processor_p99_ms: FloatArray | None = None,
) -> FloatArray:
    """Return the scatter of a window as standard deviations [..., Q] of logarithms.

    Args:
        throughput_ips: [..., T].
        window_s: length of the window, or [..., 1] of them.
        processor_p99_ms: [..., T] where a processor serves, see `NOISE_OF_SHORT`; NaN counts as
            long. None for a board.
    """
    requests = np.maximum(np.asarray(throughput_ips) * window_s, 4.0)
    late, served = (
        np.hypot(floor, one / np.sqrt(requests))
        for floor, one in zip(NOISE[1::-1], NOISE_OF_ONE[1::-1], strict=True)
    )
    if processor_p99_ms is not None:
        short = NOISE_OF_SHORT / (1.0 + np.asarray(processor_p99_ms) / SHORT_MS)
        late = np.hypot(late, np.nan_to_num(short))
    power = np.hypot(NOISE[2], NOISE_OF_ONE[2] / np.sqrt(requests.sum(axis=-1, keepdims=True)))
    return np.concatenate([served, late, power], axis=-1)
