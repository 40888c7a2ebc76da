"""A service: its cost, its answers, its speed, and what it withstands."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

SERVICES = (
    Benchmark(
        "overhead",
        "overhead",
        "Compares the throughput of the serving runtime with a bare loop over the same sessions.",
        "measured",
        short=options("--networks mobilenet_v2 --pairs 3 --window 1"),
    ),
    Benchmark(
        "watching",
        "watching",
        "Runs the terminal view beside a service at full load, in turns with the service alone; on "
        "a computer that others use, only the processor time of the view tells its cost.",
        "measured",
        short=options("--pairs 4 --periods 5 --period 1"),
    ),
    Benchmark(
        "page",
        "watching",
        "Lets one viewer look at the page of a service at full load, in turns with nobody; it "
        "reads what the page sends, and draws nothing.",
        "measured",
        full=options("--page --viewers 1"),
        short=options("--page --viewers 1 --pairs 4 --periods 5 --period 1"),
    ),
    Benchmark(
        "page_viewers",
        "watching",
        "The same with 20 viewers.",
        "measured",
        full=options("--page --viewers 20"),
        short=options("--page --viewers 20 --pairs 4 --periods 5 --period 1"),
    ),
    Benchmark(
        "answers",
        "answers",
        "Trains small networks, serves their test samples through what tuning chose, and counts "
        "right answers against FP32. Agreement of the Orin's accelerators is that of copies which "
        "this computer runs.",
        "measured and simulated",
        short=options(
            "--networks digits_0_255 digits_bytes cancer_raw cancer_folded signals detector"
        ),
    ),
    Benchmark(
        "controlling",
        "controlling",
        "Measures how long a service takes to start, and how long the policy takes to decide while "
        "all other cores are busy.",
        "measured",
        short=options("--starts 3 --periods 100"),
    ),
    Benchmark(
        "speed",
        "speed",
        "Measures how fast the environment, the device model and training run on one core.",
        "measured",
        short=options("--problems 24 --pairs 3 --steps 60000"),
    ),
    Benchmark(
        "faults",
        "faults",
        "Breaks a controller on purpose, with real sessions and in the model, and looks at the "
        "next control periods.",
        "measured and simulated",
        short=options("--period-s 0.5"),
    ),
    Benchmark(
        "device_faults",
        "device_faults",
        "Lets a Jetson say no, as stand-ins for TensorRT and CUDA and as the model, and looks at "
        "the next control periods and restarts. Nothing of it ran on a GPU.",
        "simulated",
        short=options("--only alone always once 3 kill sticks libnvdla"),
    ),
    Benchmark(
        "soak",
        "soak",
        "Serves a network under limits that change, and looks at broken limits, memory, and "
        "throughput against the best fixed configuration chosen with hindsight.",
        "measured",
        short=options("--minutes 2 --period-s 1 --windows 1 --rounds 3"),
    ),
    Benchmark(
        "soak_model",
        "soak_model",
        "The same on many devices of the model, which wander, slow down and have neighbours.",
        "simulated",
        short=options("--seeds 4 --periods 40"),
    ),
    Benchmark(
        "dynamic",
        "dynamic",
        "Lets tenants come and go, rates triple and limits halve on a simulated board; compares "
        "the requests that are answered within their limits with those of placements chosen with "
        "hindsight.",
        "simulated",
        short=options("--seeds 1 --periods 30"),
    ),
    Benchmark(
        "dynamic_live",
        "dynamic",
        "The same on this computer, where the best of a small grid is what hindsight would choose.",
        "measured",
        full=options("--live"),
        short=options("--live --periods 15 --only 1 4 5"),
    ),
)
