"""Draw clusters and applications of `benchmarks.cluster_placement`: a paper's, and of Orins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cluster.placement.nodes import Application, Engine, Node, NodeKind, Place, Rules
from cluster.profiles.boards import board_kind

#: umassos/ibis (MIT) at ac0f8d73, ibis/control_service/benchmarks: requests/s that a Jetson Nano
#: serves, memory of the back end [MiB] (mean where a file has two values), limit [s].
PAPER_GPU = {
    "resnet18": (92.3, 815.0, 0.100),
    "googlenet": (72.0, 893.0, 0.100),
    "resnet34": (51.2, 700.0, 0.150),
    "resnet50": (34.0, 832.0, 0.150),
    "inception_v3": (32.72, 936.0, 0.300),
    "mobilenet_v2": (76.8, 1130.0, 0.300),
}

#: The same source: requests/s that an Edge TPU serves, swap [s], limit [s].
PAPER_TPU = {
    "efficientnet_s": (98.43, 0.01731, 0.060),
    "mobilenet_v2": (142.85, 0.01043, 0.300),
    "inception_v3": (15.43, 0.01465, 0.300),
}

#: The same source, and its code: memory of a Jetson Nano and of a Raspberry Pi 4 (assumed: of its
#: size with 4 GB), back end on an Edge TPU, front ends, and processor time of a request before the
#: accelerator.
NANO_MIB, PI_MIB, TPU_BACK_END_MIB = 3964.0, 3840.0, 100.0
FRONT_END_MIB = 50.0
NANO_FRONT_END_S, PI_FRONT_END_S = 0.024, 0.020

#: Networks of the Orin clusters, with requests a second of an application.
ORIN_NETWORKS = {
    "mobilenet_v2": (60.0, 120.0),
    "efficientnet_b0": (40.0, 90.0),
    "resnet50": (30.0, 90.0),
    "yolov8n_640": (15.0, 30.0),
    "yolov5s_672": (10.0, 30.0),
    "ssd_resnet34": (2.0, 5.0),
}

#: Limits on p99 of their applications [s]; the heavy detector has three times as much.
ORIN_LIMITS_S = (0.06, 0.1, 0.2)

#: Boards, power modes, and their share of the nodes.
ORIN_BOARDS = (
    ("agx_orin_64", "30W", 2),
    ("agx_orin_32", "30W", 2),
    ("orin_nx_16", "25W", 3),
    ("orin_nano_8", "15W", 3),
)

#: Share of each limit that our policies do not plan with, where it is of the mean, and of p99. That
#: of the mean was chosen on draws 100 and 101, which are not reported. A mean time is exact by the
#: formulas, and only windows scatter; of p99 the formulas are approximations.
RESERVE_OF_MEAN, RESERVE_OF_P99 = 0.05, 0.15


@dataclass(frozen=True)
class World:
    """A cluster, and what wants to be hosted on it.

    Attributes:
        name: for tables.
        rules: what must hold.
        nodes: of the cluster.
        draw: returns so many applications, drawn from a seed.
        count: applications that come.
    """

    name: str
    rules: Rules
    nodes: tuple[Node, ...]
    draw: Callable[[int, int], list[Application]]
    count: int


def careful(world: World) -> Rules:
    """Return the rules of a world with our reserve."""
    reserve = RESERVE_OF_P99 if world.rules.late else RESERVE_OF_MEAN
    return replace(world.rules, reserve=reserve)


def paper_world(tpus: bool, shared: bool, scale: int = 1) -> World:
    """Return ten nodes with the values of the paper's workloads.

    Args:
        tpus: True for six Jetson Nano and four Edge TPUs, as in its heterogeneous workload; False
            for ten Jetson Nano.
        shared: True if applications with the same network share its engine on a node, which it
            calls model as a service; False if each has a process of its own.
        scale: times as many nodes and applications.
    """
    nano = NodeKind(
        "jetson-nano",
        (Place("gpu", True),),
        NANO_MIB,
        {n: (Engine("gpu", 1, 1 / r, mib),) for n, (r, mib, _) in PAPER_GPU.items()},
        NANO_FRONT_END_S,
        FRONT_END_MIB,
    )
    tpu = NodeKind(
        "edge-tpu",
        (Place("edgetpu", False),),
        PI_MIB,
        {
            name: (Engine("edgetpu", 1, 1 / rate, TPU_BACK_END_MIB, swap_s),)
            for name, (rate, swap_s, _) in PAPER_TPU.items()
        },
        PI_FRONT_END_S,
        FRONT_END_MIB,
    )  # fmt: skip
    kinds = [nano] * 6 + [tpu] * 4 if tpus else [nano] * 10
    nodes = tuple(Node(f"node-{i:03}", kind) for i, kind in enumerate(kinds * scale))
    gpu_networks = tuple(PAPER_GPU)[:4]

    def draw(count: int, seed: int) -> list[Application]:
        rng = np.random.default_rng([seed, 1])
        found = []
        for number in range(count):
            names = tuple(PAPER_GPU | PAPER_TPU) if tpus else gpu_networks
            network = names[int(rng.integers(len(names)))]
            limit = PAPER_GPU[network][2] if network in PAPER_GPU else PAPER_TPU[network][2]
            found.append(Application(f"app-{number}", network, 5.0 if tpus else 10.0, limit))
        return found

    words = "six Jetson Nano and four Edge TPUs" if tpus else "ten Jetson Nano"
    own = "shared engines" if shared else "own engines"
    rules = Rules(late=False, shared_engines=shared)
    return World(f"paper's values, {words}, {own}", rules, nodes, draw, 120 * scale)


def orin_kinds() -> list[NodeKind]:
    """Return what each board can do, by the device model in INT8, whose answers nobody judged.

    Engines are slower by what a board loses when the GPU and all DLAs run the network at once.
    """
    networks = tuple(ORIN_NETWORKS)
    return [board_kind(name, mode, networks, "int8") for name, mode, _ in ORIN_BOARDS]


def orin_world(
    nodes: int,
    seed: int,
    kinds: list[NodeKind],
    networks: int = len(ORIN_NETWORKS),
    limits: int = len(ORIN_LIMITS_S),
) -> World:
    """Return a mixed cluster of Orin boards, and applications whose limits are of p99.

    Args:
        nodes: of the cluster.
        seed: of the order of its boards.
        kinds: see `orin_kinds`.
        networks: that applications have, the first ones of `ORIN_NETWORKS`.
        limits: that they have, the first ones of `ORIN_LIMITS_S`.
    """
    pattern = [kind for kind, (_, _, share) in zip(kinds, ORIN_BOARDS, strict=True)
               for _ in range(share)]  # fmt: skip
    order = np.random.default_rng(seed).permutation(nodes)
    chosen = tuple(Node(f"node-{i:05}", pattern[order[i] % len(pattern)]) for i in range(nodes))

    def draw(count: int, seed: int) -> list[Application]:
        rng = np.random.default_rng([seed, 2])
        names, found = tuple(ORIN_NETWORKS)[:networks], []
        for number in range(count):
            network = names[int(rng.integers(len(names)))]
            rate = ORIN_NETWORKS[network][int(rng.integers(2))]
            limit = ORIN_LIMITS_S[int(rng.integers(limits))] * (
                3 if network == "ssd_resnet34" else 1
            )
            found.append(Application(f"app-{number}", network, rate, limit))
        return found

    words = "" if networks == len(ORIN_NETWORKS) else f", {networks} networks"
    return World(f"{nodes} mixed Orin boards{words}", Rules(), chosen, draw, 30 * nodes)
