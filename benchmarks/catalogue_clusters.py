"""Clusters of boards: simulated, placed, learned and broken."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

CLUSTERS = (
    Benchmark(
        "cluster_log",
        "cluster_log",
        "Replays the log of five Jetson boards under a scheduler, measured by others: completion "
        "times of requests, and the order of two policies by energy and late images.",
        "simulated",
    ),
    Benchmark(
        "cluster_placement",
        "cluster_placement",
        "Places applications on clusters of boards by memory, as a paper does it, as this project "
        "does it, and exactly; counts those that keep their limits when requests are simulated one "
        "by one.",
        "simulated",
        short=options("--seeds 1 --requests 1000 --scale 1000"),
    ),
    Benchmark(
        "cluster_learned",
        "cluster_learned",
        "Lets the policy measure each network a few times on kinds of boards that differ from the "
        "device model, places applications by that, by the model alone and by the truth, and "
        "counts those that keep their limits on the true boards.",
        "simulated",
        short=options("--worlds 1 --nodes 4 --requests 500"),
    ),
    Benchmark(
        "cluster_faults",
        "cluster_faults",
        "Places fifty applications on twelve boards through a real Kubernetes API server, and lets "
        "the cluster fail in many ways while the controller works. Boards and kubelets are played.",
        "measured and simulated",
        short=options("--only by_hand lease node_returns"),
    ),
)
