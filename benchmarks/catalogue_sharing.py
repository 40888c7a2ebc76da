"""Best effort beside critical networks."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

SHARING = (
    Benchmark(
        "criticality",
        "criticality",
        "Serves best effort beside a critical network on this computer, in four ways of sharing "
        "its processor, in turns with the critical network alone.",
        "measured",
        short=options("--rounds 3 --window 2 --arrivals uniform poisson"),
    ),
    Benchmark(
        "elastic",
        "elastic",
        "Makes elastic kernels from CUDA C++, compares them with their originals on the processor, "
        "and schedules them beside critical kernels in a model of occupancy and time.",
        "measured and simulated",
    ),
    Benchmark(
        "mixes",
        "mixes",
        "Serves critical networks beside best effort on boards, request by request, in five ways "
        "of sharing the GPU, and by a choice over all accelerators.",
        "simulated",
        short=options("--seconds 5"),
    ),
)
