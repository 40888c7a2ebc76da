"""Tuning and mapping on this computer."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

LIVE = (
    Benchmark(
        "mapping_live",
        "mapping_live",
        "Predicts mappings of layers to FP32 and INT8 of ONNX Runtime and OpenVINO from ten "
        "measurements a network, and measures them.",
        "measured",
        short=options("--short"),
    ),
    Benchmark(
        "live_grid",
        "live_grid",
        "For six networks that no training drew, measures every configuration of a space on this "
        "computer, lets the policy and the rule tune live under four limits drawn from that, and "
        "measures their answers in turns with the best configuration.",
        "measured",
        short=options("--networks squeezenet1_1_64 transformer --limits 2"),
    ),
    Benchmark(
        "several_live",
        "several_live",
        "Serves three and four networks at once on this computer: lets the policy and the rule "
        "tune with 12 measurements, and measures their answers in turns with the best of 200 "
        "random and 100 hill-climbed configurations of the same run.",
        "measured",
        short=options("--tenants 3 --random 60 --climbed 20 --turns 3 --again 2 --window 1"),
    ),
    Benchmark(
        "live_check",
        "live_check",
        "Runs what the policy chose on the built-in recording again on this computer; on another "
        "computer than the recording's the numbers differ, and the report has to say so.",
        "replayed and measured",
        short=options("--choices 2"),
    ),
)
