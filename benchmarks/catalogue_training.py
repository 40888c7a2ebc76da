"""The training of policies."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

TRAINING = (
    Benchmark(
        "fleet",
        "fleet",
        "Trains one policy without workers, with one, with two, and with two of which some are "
        "killed: the weights must be equal.",
        "simulated",
        short=options("--objectives 30"),
    ),
    Benchmark(
        "training_seeds",
        "training_seeds",
        "Trains as `make train` does with several seeds and compares each policy with the optimum "
        "on problems that no training drew.",
        "simulated",
        short=None,
        left_out="it trains three policies, and `make train` trains one",
    ),
    Benchmark(
        "ablation",
        "ablation",
        "Changes one part of the policy's training at a time and compares what comes out.",
        "simulated",
        short=None,
        left_out="it trains a dozen policies",
    ),
)
