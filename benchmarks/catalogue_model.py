"""The device model against what others measured and claim."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

MODEL = (
    Benchmark(
        "fidelity",
        "fidelity",
        "Compares the device model with published measurements of Jetson boards: once fitted to "
        "all of them, and once with the source in question left out.",
        "simulated",
        short=options("--quick"),
    ),
    Benchmark(
        "concurrent",
        "concurrent",
        "Asks the device model what a paper claims for several networks at once: batching, copies, "
        "and CPU, GPU and Edge TPUs together. Compares its cores and Edge TPUs with published "
        "measurements. Nothing was fitted to the claims.",
        "simulated",
    ),
    Benchmark(
        "queueing",
        "queueing",
        "Compares closed forms of waiting times with published measurements of an Edge TPU and of "
        "a GPU that networks share, and with requests simulated one by one.",
        "simulated",
        short=options("--seconds 3000"),
    ),
    Benchmark(
        "mapping_gain",
        "mapping_gain",
        "Asks the device model what layers on different accelerators gain: one network over the "
        "best single accelerator, and two networks at once over whole networks, beside the gains "
        "that papers publish. Nothing was fitted to these. Times the exact search.",
        "simulated",
        short=options("--quick"),
    ),
)
