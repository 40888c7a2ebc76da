"""Published sweeps of clocks: what the model's compute term and memory term make of them.

Jetson TX2 under TensorRT, over clocks of GPU and memory (thynics/jetson_dvfs), and AGX Xavier
under Triton, over the GPU's clock and requests in flight (iloudaros/LoudVA). Neither board is in
the catalogue with these networks, so the sweeps check the form of the model and fit nothing of it.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from benchmarks.figures import Figure, figure
from envs.arrays import BoolArray, FloatArray
from envs.catalog.reference_networks import reference_network
from envs.simulator.gpu_kernels import kernels
from envs.simulator.machine import Machine, machine_of
from envs.simulator.parameters import NAMES, PARAMETERS, ParameterSet
from tuner.console import table

DATA = Path(__file__).parent / "data"

#: What a network of the TX2 sweep leaves open: its precision and how well its engine was built.
FREE = ("cuda_efficiency", "bandwidth_efficiency", "cache_share", "kernel_floor_us")

#: Two Pascal SMs with 128 CUDA cores each, 512 KiB of L2, 59.7 GB/s at 1866 MHz.
TX2_EMC_MHZ, TX2_BYTE_S = 1866.0, 59.7e9

#: Triton's own example stands in for the network of the Xavier sweep, which has no name. It is
#: stretched to two cells at the highest clock: one image at a time, and the largest batch.
STAND_IN = "densenet121"
LARGEST_BATCH = 64


@cache
def sweep(name: str) -> dict[str, FloatArray]:
    """Return the columns of a sweep by name; texts are left out but for `network`."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        key: np.array([row[key] if key == "network" else float(row[key]) for row in rows])
        for key in rows[0]
        if key != "source"
    }


def tx2_machine(gpu_mhz: float, emc_mhz: float) -> Machine:
    """Return a Jetson TX2 at these clocks; its processor is that of a Xavier NX."""
    made = machine_of("xavier_nx", "20W")
    return replace(
        made,
        sm=2,
        gpu_ghz=gpu_mhz / 1e3,
        mac_per_sm_cycle=(128.0, 256.0, 0.0),
        l2_bytes=2.0**19,
        dram_byte_s=TX2_BYTE_S * emc_mhz / TX2_EMC_MHZ,
    )


def _latency_ms(network: str, clocks: list[tuple[float, float]], values: FloatArray) -> FloatArray:
    """Return latencies [K, C] at clocks for C vectors `values` of the free parameters."""
    plain = np.array([[each.nominal for each in PARAMETERS.values()]])
    table_of = np.repeat(plain, len(values), axis=0)
    table_of[:, NAMES.index("engine_slowdown")] = 1.0
    for position, name in enumerate(FREE):
        table_of[:, NAMES.index(name)] = values[:, position]
    layers, one = reference_network(network), np.ones(1)
    result = []
    for gpu_mhz, emc_mhz in clocks:
        made = tx2_machine(gpu_mhz, emc_mhz)
        floor, work, _ = kernels(made, layers, one, ParameterSet(table_of), 4)
        result.append(1e3 * (floor + work)[:, 0])
    return np.stack(result)


def _fitted(network: str, clocks: list[tuple[float, float]], latency_ms: FloatArray) -> FloatArray:
    """Return the values of the free parameters that explain the latencies [K] best."""
    low, high = (
        np.log([getattr(PARAMETERS[name], end) or 1e-3 for name in FREE]) for end in ("low", "high")
    )
    step = 1e-4

    def errors(theta: FloatArray) -> FloatArray:
        return np.log(_latency_ms(network, clocks, np.exp(theta)[None])[:, 0] / latency_ms)

    def slopes(theta: FloatArray) -> FloatArray:
        moved = np.exp(np.vstack([theta, theta + step * np.eye(len(FREE))]))
        found = np.log(_latency_ms(network, clocks, moved))
        return (found[:, 1:] - found[:, :1]) / step

    first = np.clip(np.log([0.7, 0.5, 0.5, 10.0]), low + 1e-6, high - 1e-6)
    solved = least_squares(
        errors, first, slopes, bounds=(low, high), loss="soft_l1", f_scale=0.05, max_nfev=60
    )
    return np.exp(solved.x)


def tx2_figures() -> list[Figure]:
    """Fit each network of the TX2 sweep to every other GPU clock, and ask for all."""
    data = sweep("tx2_clocks")
    lines, known, asked = [], [], []
    for network in dict.fromkeys(data["network"].tolist()):
        mine = data["network"] == network
        gpu, emc, latency = (
            data[key][mine].astype(float) for key in ("gpu_mhz", "emc_mhz", "latency_ms")
        )
        clocks = list(zip(gpu.tolist(), emc.tolist(), strict=True))
        used: BoolArray = np.isin(gpu, np.unique(gpu)[::2])
        values = _fitted(
            network, [each for each, use in zip(clocks, used, strict=True) if use], latency[used]
        )
        error = np.abs(_latency_ms(network, clocks, values[None])[:, 0] / latency - 1)
        known.append(error[used])
        asked.append(error[~used])
        lines.append(
            [
                network,
                f"{np.median(error[used]):.1%}",
                f"{np.median(error[~used]):.1%}",
                f"{error.max():.1%}",
                *(f"{value:.3g}" for value in values),
            ]
        )
    print("Jetson TX2, latency over GPU clock and memory clock, fitted to every other GPU clock")
    table(["network", "median, clocks fitted", "median, other clocks", "worst", *FREE], lines)
    inside, outside = np.concatenate(known), np.concatenate(asked)
    label = "TX2, latency over clocks of GPU and memory"
    return [
        figure(
            f"{label}: median error",
            100 * float(np.median(np.append(inside, outside))),
            "%",
            "<= 5",
        ),
        figure(
            f"{label}: median error at clocks that were not fitted",
            100 * float(np.median(outside)),
            "%",
            "<= 5",
        ),
        figure(f"{label}: worst error", 100 * float(max(inside.max(), outside.max())), "%"),
    ]


def triton_rate_ips(gpu_mhz: FloatArray, in_flight: FloatArray, volta: ParameterSet) -> FloatArray:
    """Return the rate [K] of one instance with dynamic batches, before it is stretched to cells.

    While a batch runs, the other requests gather for the next: a batch has half of those in
    flight, up to the largest. With a single one nothing gathers, and the GPU waits for the client.
    """
    data = sweep("xavier_triton")
    layers, top = reference_network(STAND_IN), gpu_mhz.max()
    batch = np.clip(in_flight / 2, 1, LARGEST_BATCH)
    sizes = np.unique(np.append(batch, [1, LARGEST_BATCH]))
    floor_s, work_s = np.empty((2, len(gpu_mhz)))
    for clock in np.unique(gpu_mhz):
        made = replace(machine_of("agx_xavier", "MAXN"), gpu_ghz=clock / 1e3)
        floor, work, _ = kernels(made, layers, sizes, volta, 4)
        mine = gpu_mhz == clock
        floor_s[mine] = floor[0, 0]
        work_s[mine] = np.interp(batch[mine], sizes, work[0])
    made = replace(machine_of("agx_xavier", "MAXN"), gpu_ghz=top / 1e3)
    floor, work, _ = kernels(made, layers, np.array([1.0, LARGEST_BATCH]), volta, 4)

    def cell(flight: float) -> float:
        found = (data["gpu_mhz"] == top) & (data["requests_in_flight"] == flight)
        return float(data["throughput_ips"][found][0])

    one_s, all_s = 1 / cell(2), LARGEST_BATCH / cell(2 * LARGEST_BATCH)
    wait_s = 1 / cell(1) - one_s
    each = np.array([[floor[0, 0], work[0, 0]], [floor[0, 0], work[0, 1]]])
    on_floor, on_work = np.linalg.solve(each, np.array([one_s, all_s]))
    taken_s = on_floor * floor_s + on_work * work_s + wait_s * (in_flight == 1)
    return np.asarray(batch / taken_s)


def triton_figures(volta: ParameterSet) -> list[Figure]:
    """Compare the Xavier sweep with the model."""
    data = sweep("xavier_triton")
    gpu, flight = data["gpu_mhz"].astype(float), data["requests_in_flight"].astype(float)
    error = np.abs(triton_rate_ips(gpu, flight, volta) / data["throughput_ips"] - 1)
    print("AGX Xavier under Triton, rate by requests in flight, over all GPU clocks")
    lines = [
        [
            f"{each:g}",
            f"{np.median(error[flight == each]):.0%}",
            f"{error[flight == each].max():.0%}",
        ]
        for each in np.unique(flight)
    ]
    table(["requests in flight", "median", "worst"], lines)
    label = "AGX Xavier under Triton, rate over clocks and requests in flight"
    return [
        figure(f"{label}: median error", 100 * float(np.median(error)), "%", "<= 20"),
        figure(f"{label}: worst error", 100 * float(error.max()), "%"),
    ]
