"""Published measurements of what stands beside a GPU: an AGX Orin's cores, and Edge TPUs."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.concurrent_settings import FP16, answers, model_of
from benchmarks.figures import Figure, figure
from benchmarks.published import WALL_LOSS
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.arrivals import open_loop
from envs.simulator.beside import with_beside
from envs.simulator.known_devices import model_for
from envs.simulator.machine import machine_of
from envs.simulator.sharing import served_of
from envs.spec import ConfigurationSpace, DeviceSpec, accelerator, workload_of
from tuner.console import table

#: umassos/ibis (MIT) at ac0f8d73, data/queueing_validation: Poisson requests for networks that
#: share an Edge TPU; the response times of each load, averaged here by network.
QUEUE = Path(__file__).parent / "data" / "edge_tpu_queue.csv"

#: mlcommons/inference_results_v3.0, open/cTuning, ResNet-50 Offline on the processor of an AGX
#: Orin: images a second with ONNX Runtime 1.13.1 and 1.14.0, and watts at the wall in the run of
#: the first one and before it. The rates are what `cpu_fp32_mac_per_cycle` was read off.
OFFLINE_IPS, WALL_W, WALL_BEFORE_W = (34.85, 30.56), 40.9, 15.0


def beside_figures() -> list[Figure]:
    """Return the figures of the cores and of Edge TPUs."""
    return [*_cores(), *_queues()]


def _cores() -> list[Figure]:
    machine = machine_of("agx_orin_64", "MAXN").with_cores_as_accelerators()
    model = model_of(machine, ["cpu_fp32"], ["resnet50"])
    found = answers(model, FP16, np.array([[[(1, 1)]]], dtype=np.int16))
    rate, rise_w = float(found.throughput_ips[0, 0]), float(found.power_w[0]) - sum(machine.idle_w)
    published_w = (WALL_W - WALL_BEFORE_W) / WALL_LOSS
    print(
        f"ResNet-50 FP32 on the 12 cores of an AGX Orin: {rate:.1f}/s and {rise_w:.1f} W above"
        f" rest; published {OFFLINE_IPS[1]} to {OFFLINE_IPS[0]}/s, and {published_w:.1f} W"
    )
    low, high = min(OFFLINE_IPS), max(OFFLINE_IPS)
    return [
        figure(
            "cores of an AGX Orin: rate of ResNet-50, outside the published two (read off them)",
            100 * max(low / rate - 1, rate / high - 1, 0.0),
            "%",
            "<= 0",
        ),
        figure(
            "cores of an AGX Orin: power above rest, not fitted, error",
            100 * abs(rise_w / published_w - 1),
            "%",
            "<= 20",
        ),
    ]


def _queues() -> list[Figure]:
    """Return the errors of the time that requests stay at an Edge TPU which several share."""
    with QUEUE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines, mean_errors, late_errors = [], [], []
    for mix, load in dict.fromkeys((row["mix"], row["load"]) for row in rows):
        mine = [row for row in rows if (row["mix"], row["load"]) == (mix, load)]
        mean_ms, late_ms = _stays(
            [row["network"] for row in mine], [float(row["rate_ips"]) for row in mine]
        )
        for row, mean, late in zip(mine, mean_ms, late_ms, strict=True):
            mean_errors.append(abs(mean / float(row["mean_ms"]) - 1))
            late_errors.append(abs(late / float(row["p99_ms"]) - 1))
            lines.append([mix, load, row["network"], row["mean_ms"], f"{mean:.1f}", row["p99_ms"],
                          f"{late:.1f}"])  # fmt: skip
    print(
        "An Edge TPU that several networks share, Poisson arrivals: measured by others, and model"
    )
    table(["mix", "load", "network", "mean [ms]", "model", "p99 [ms]", "model"], lines)
    label = "Edge TPU shared by several networks"
    return [
        figure(f"{label}, mean: median error", 100 * float(np.median(mean_errors)), "%", "<= 5"),
        figure(f"{label}, mean: worst error", 100 * max(mean_errors), "%", "<= 20"),
        figure(f"{label}, p99: median error", 100 * float(np.median(late_errors)), "%", "<= 20"),
        figure(f"{label}, p99: worst error", 100 * max(late_errors), "%"),
    ]


def _stays(networks: list[str], rates_ips: list[float]) -> tuple[list[float], list[float]]:
    """Return mean and p99 [ms] of the requests of each network on one Edge TPU."""
    layers = tuple(replace(reference_network("mobilenet_v2"), name=name) for name in networks)
    device = DeviceSpec(
        "a computer", (accelerator("cpu_int8"), accelerator("edgetpu0")), 4, float("inf")
    )
    workload = workload_of([described(each) for each in layers], rates_ips)
    model = model_for(ConfigurationSpace(device, workload, 1, (1,)), layers)
    contexts, rows = model.nominal(), np.zeros(1, dtype=np.int64)
    placements = np.zeros((1, *model.space.shape, 2), dtype=np.int16)
    placements[:, :, 1] = (1, 1)
    instances, levels, _ = model.slots(placements)
    served, _ = with_beside(
        served_of(contexts, rows, instances, levels),
        contexts,
        rows,
        {name: values[rows] for name, values in contexts.scalars.items()},
        contexts.rate_ips[rows].T,
    )
    batch_s = (served.full.host_s + served.full.dla_s).max(axis=1)
    ones = np.ones_like(batch_s)
    found = open_loop(rates_ips, 0 * batch_s, batch_s, ones, ones, 0.0)
    late_ms = model.response(contexts, placements).p99_ms[0]
    return list(1e3 * found.mean_s), list(late_ms)
